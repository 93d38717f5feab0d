select id, name, coalesce(open_jobs, jobs) as "jobs!", fingerprint, cut_before::text as cut_before from sweeps where idempotency_key = $1
