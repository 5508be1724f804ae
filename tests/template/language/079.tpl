x }} y
