{{ printf "%T" 'a' }} {{ printf "%v" 'a' }} {{ 'a' }} {{ printf "%c|%q|%U" 'a' 'a' 'a' }}
