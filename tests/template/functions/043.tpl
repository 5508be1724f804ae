{{ scratch.MapSet "m" "b" 1 }}{{ scratch.MapSet "m" "a" 2 }}{{ scratch.MapSetX "m" "a" 3 }}{{ scratch.MapValues "m" }} {{ scratch.MapValues "zz" }} {{ scratch.Get "m" }} {{ printf "%T" scratch }}
