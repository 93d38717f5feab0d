-- Sweeps that have taken results of a sweep or wait for its jobs, and still need them.
select s.id, s.name
from sweeps s
where s.id <> $1 and s.expired_at is null
    and (
        exists (select from reused_from u where u.sweep_id = s.id and u.source_id = $1)
        or exists (select from jobs j where j.attached_sweep = $1 and j.sweep_id = s.id)
    )
order by s.created_at, s.id
limit $2
