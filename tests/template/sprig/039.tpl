{{ sprig_upper nil }}
