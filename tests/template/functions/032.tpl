{{ base64Encode "hello?>" }} {{ base64Decode "aGVsbG8/Pg==" }} {{ base64URLEncode "hello?>" }} {{ base64URLDecode "aGVsbG8_Pg==" }} {{ base64URLDecode "aGVsbG8_Pg" }}
