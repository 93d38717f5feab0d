select stored_as from layers where sha256 = $1
