select id, name from sweeps where idempotency_key = $1
