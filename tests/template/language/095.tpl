{{ trimSpace 5 }}
