{{ base64Decode "aGVs bG8=" }}
