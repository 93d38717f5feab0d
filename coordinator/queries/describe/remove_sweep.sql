-- The sweep is held. What it left in the store is collected as that of an expired one.
update sweeps
set removed_at = now(), expired_at = coalesce(expired_at, now()), collected_at = null
where id = $1 and removed_at is null
