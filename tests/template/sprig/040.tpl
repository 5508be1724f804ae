{{ sprig_get nil "a" }}
