{{ scratch.Set "a" 1 }}{{ scratch.MapSet "a" "b" 1 }}
