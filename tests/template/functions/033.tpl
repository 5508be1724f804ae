{{ base64Decode "aGVsbG8" }}
