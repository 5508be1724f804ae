{{ divide 0.0 5 }}
