{{ sprig_join 5 "a" }}
