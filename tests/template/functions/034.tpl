{{ base64Decode "!!" }}
