{{ (split "," "a").x }}
