{{ $n := add 1 2 }}{{ sprig_repeat $n "a" }}
