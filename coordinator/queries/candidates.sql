-- The sweeps that have jobs ready to be leased, and how much of each and of its owner runs already.
with live as (
    select a.sweep_id, count(*) as running
    from attempts a
    where a.state in ('leased', 'preparing', 'running', 'publishing')
    group by a.sweep_id
)
select
    s.id, s.owner, s.priority, s.cpu_millis, s.memory_bytes, s.gpus, s.labels, s.volumes,
    coalesce(l.running, 0) as "running!"
from sweeps s
left join live l on l.sweep_id = s.id
where exists (
    select from jobs j where j.sweep_id = s.id and j.state = 'queued' and j.ready_at <= now()
)
order by s.priority desc, s.created_at, s.id
limit $1
