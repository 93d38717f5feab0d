-- Sweeps that had expired, but whose files were still somebody else's result: of the sweeps $1 that now expire too.
update sweeps
set collected_at = null
where expired_at is not null and id in (
    select a.sweep_id from results r join attempts a on a.id = r.attempt_id
    where r.sweep_id = any($1) and a.sweep_id <> r.sweep_id
)
