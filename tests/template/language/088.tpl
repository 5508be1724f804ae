{{ | len }}
