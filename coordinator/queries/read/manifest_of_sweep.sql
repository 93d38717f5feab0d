select manifest::text as "manifest!" from sweeps where id = $1
