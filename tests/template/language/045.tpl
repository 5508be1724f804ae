{{ index 5 1 }}
