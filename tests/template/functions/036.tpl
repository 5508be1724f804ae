{{ base64Decode "aGVs\nbG8=" }}
