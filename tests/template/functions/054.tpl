{{ sprig_dict "f" 1.5 "g" 1.0 "h" 1e21 "i" 1e-7 "j" 100000000.0 "k" true "l" nil "m" (add 1 2) | toJSON }}
