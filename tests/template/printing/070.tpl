{{ sprig_repeat -1 "a" }}
