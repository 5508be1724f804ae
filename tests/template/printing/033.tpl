{{ $x := (sprig_dict "a" nil).a }}{{ $x.b }}
