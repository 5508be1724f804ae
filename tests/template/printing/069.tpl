{{ hmacSHA256Hex "a" }}
