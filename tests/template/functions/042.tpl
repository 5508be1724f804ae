{{ scratch.Set "a" 1 }}{{ scratch.Get "a" }}|{{ scratch.SetX "a" 2 }}{{ scratch.Get "a" }}|{{ scratch.Key "a" }} {{ scratch.Key "z" }} {{ scratch.Get "z" }}
