{{ parseJSON "{" }}
