{{ true | not }} {{ not true }} {{ true }} {{ false }}
