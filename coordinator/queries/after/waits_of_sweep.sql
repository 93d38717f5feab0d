-- What a sweep waits for; nothing if it waits for none, or for no longer.
select after, after_any from sweeps where id = $1 and after <> '{}' and after_passed_at is null
