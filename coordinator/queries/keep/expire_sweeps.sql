-- Gives up the results of sweeps that were kept for as long as they were to be.
update sweeps
set expired_at = now(), collected_at = null
where id in (
    select id from sweeps
    where keep_seconds is not null and expired_at is null and ended_at + keep_seconds * interval '1 second' <= now()
    order by id
    limit $1
    for update skip locked
) and expired_at is null and ended_at is not null
returning id
