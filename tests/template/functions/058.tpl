{{ toTOML "x" }}
