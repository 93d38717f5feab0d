-- Cancels a sweep for what has become of $2, which it waits for, unless that was opened again meanwhile. The reconciler cancels
-- its jobs, as it does when a user cancels a sweep.
update sweeps
set cancelled_at = now(), cancel_reason = $3, closed_at = case when open_jobs is not null then coalesce(closed_at, now()) end
where id = $1 and cancelled_at is null and ended_at is null and after <> '{}' and after_passed_at is null
    and exists (select from sweeps p where p.id = $2 and p.ended_at is not null)
