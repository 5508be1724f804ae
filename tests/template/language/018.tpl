{{ or true (sprig_fail "no") }} {{ and false (sprig_fail "no") }}
