{{ sprig_upper 5 }}
