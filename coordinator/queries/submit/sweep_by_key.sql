select id, name, jobs, fingerprint from sweeps where idempotency_key = $1
