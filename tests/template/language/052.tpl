{{ call 5 }}
