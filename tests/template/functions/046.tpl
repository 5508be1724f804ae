{{ executeTemplate "nope" }}
