select owner from sweeps where id = $1
