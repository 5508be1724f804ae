{{ toJSON "\b\f\v\u0000é\U0001F600\u2029" }} {{ toJSON 1.5e300 }} {{ toJSON 1e20 }} {{ toJSON 123456789.125 }} {{ toJSON 1e-6 }}
