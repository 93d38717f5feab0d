select family from sweeps where id = $1
