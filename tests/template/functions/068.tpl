{{ toYAML (base64Decode "/w==") }}
