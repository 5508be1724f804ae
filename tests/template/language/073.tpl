{{ "unterminated }}
