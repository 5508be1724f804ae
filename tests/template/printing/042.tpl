{{ break | len }}
