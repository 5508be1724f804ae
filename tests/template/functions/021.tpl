{{ divide 0 5 }}
