{{ html "<a href='x'>&\"" }} {{ js "it's \"<x>\" \n é \u2028" }} {{ urlquery "a b&c=é/~" }} {{ html 5 }} {{ html nil }} {{ urlquery "a" 1 }}
