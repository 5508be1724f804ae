{{ eq .x nil }} {{ eq .x 1 }} {{ eq .x "" }}
