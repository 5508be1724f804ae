{{ $n := 3 }}{{ sprig_repeat $n "a" }}
