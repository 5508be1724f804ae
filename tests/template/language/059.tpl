{{ eq (add 1 2) 3 }} {{ lt (len "abc") (add 1 5) }} {{ eq (parseUint "5") 5 }} {{ lt (parseInt "-5") (parseUint "5") }} {{ eq 5 (parseUint "5") }}
