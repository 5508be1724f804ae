{{ "a\nb" | indent 2 }}
