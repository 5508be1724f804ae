{{ printf "%T" (parseInt "5") }} {{ printf "%T" (parseUint "5") }} {{ printf "%T" (parseFloat "5") }} {{ printf "%T" (parseBool "true") }}
