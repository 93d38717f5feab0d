-- Only one coordinator at a time ends jobs for a sweep, and then none for $2: what it freed is taken meanwhile. No row comes
-- back for a sweep that starts no jobs any more.
update sweeps
set preempted_at = now()
where id = $1 and cancelled_at is null and paused_at is null
    and (preempted_at is null or preempted_at < now() - $2::interval)
returning id
