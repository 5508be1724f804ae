{{ printf "%T" (parseJSON "{\"a\":1}") }} {{ printf "%T" (parseJSON "{\"a\":1}").a }} {{ (parseJSON "{\"a\":12345678901234567890}").a }} {{ (parseJSON "{\"a\":1}").a }}
