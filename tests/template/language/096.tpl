{{ trimSpace nil }}
