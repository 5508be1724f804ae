{{ $x := nil }}
