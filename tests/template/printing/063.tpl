{{ base64Encode (sprig_toString 5) }} {{ sprig_b64enc "é" }} {{ md5sum "" }}
