line */}}x
