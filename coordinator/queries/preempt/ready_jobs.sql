-- How many of a sweep's first $3 jobs could start now that need so much memory ($2; null: what their sweep says), up to $4.
select count(*) as "ready!"
from (
    select from jobs
    where sweep_id = $1 and state = 'queued' and attached_sweep is null and ready_at <= now()
        and memory_bytes is not distinct from $2 and number < $3
    order by number
    limit $4
) r
