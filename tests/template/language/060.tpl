{{ eq nil 1 }} {{ eq 1 nil }} {{ ne nil "a" }}
