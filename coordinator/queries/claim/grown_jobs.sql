-- Of these sweeps the jobs that may be tried again with more memory than their sweep says, by how much. The state is written so
-- that the index of all queued jobs seems to be of no help.
select w.id as "sweep_id!", j.memory_bytes as "memory_bytes!", count(*) as "jobs!"
from unnest($1::uuid[]) as w (id)
cross join lateral (
    select memory_bytes from jobs
    where sweep_id = w.id and memory_bytes > 0 and coalesce(state = 'queued', false) and attached_sweep is null
        and ready_at <= now()
    limit 10000
) j
group by w.id, j.memory_bytes
order by w.id, j.memory_bytes
