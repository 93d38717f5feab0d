-- How long a job of the sweep takes, by the latest that have succeeded.
select count(*) as "jobs!", coalesce(avg(extract(epoch from finished_at - started_at)), 0)::float8 as "seconds!",
    max(peak_memory_bytes) as peak_memory_bytes
from (
    select started_at, finished_at, peak_memory_bytes from attempts
    where sweep_id = $1 and state = 'succeeded' and started_at is not null
    order by sweep_id desc, job desc
    limit 200
) latest
