{{ base64Encode 5 }}
