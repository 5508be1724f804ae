{{ base64Decode "/w==" }}{{ base64Decode "/w==" | printf "%q" }} {{ base64Decode "/w==" | printf "%s" | len }} {{ toUpper (base64Decode "/2E=") }}
