{{ sha256Hex "a" }} {{ md5sum "a" }} {{ hmacSHA256Hex "msg" "key" }} {{ "msg" | hmacSHA256Hex "key" }}
