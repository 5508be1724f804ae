{{ scratch.Nope }}
