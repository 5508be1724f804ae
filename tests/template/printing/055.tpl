{{ add 1 nil }}
