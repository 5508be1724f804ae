{{ mustEnv "NOPE" }}
