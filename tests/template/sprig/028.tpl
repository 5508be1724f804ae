{{ sprig_fail "boom" }}
