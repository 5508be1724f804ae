{{ (sprig_dict "a" (sprig_dict "b" 5)).a.b }} {{ $d := sprig_dict "a" 1 }}{{ $d.a }} {{ $d.zz }} {{ .x }}
