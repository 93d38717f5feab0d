update agents set last_seen_at = now(), unhealthy = $3, draining = $4, volume_fingerprints = $5
where id = $1 and session = $2
returning drained_at is not null as "drained!"
