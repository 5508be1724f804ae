{{ index (split "," "a") -1 }}
