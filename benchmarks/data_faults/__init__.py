"""How many planted faults validation finds: each kind of fault, planted in a copy of a set of faces."""
