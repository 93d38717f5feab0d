select id, name, coalesce(open_jobs, jobs) as "jobs!", fingerprint from sweeps where idempotency_key = $1
