{{ $n := 5 }}{{ sprig_upper $n }}
