{{ sprig_b64enc "hi" }} {{ sprig_b64dec "aGk=" }} {{ sprig_sha256sum "a" }} {{ sprig_sha1sum "a" }}
