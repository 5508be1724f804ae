{{ $x := sprig_list }}{{ $x.y }}
