update agents
set last_seen_at = now(), unhealthy = $3, draining = $4, volume_fingerprints = $5, unavailable = $7,
    about = case $6 when '' then about else about || jsonb_build_object('store', $6::text) end
where id = $1 and session = $2
returning drained_at is not null as "drained!"
