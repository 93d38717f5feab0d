-- The sweeps whose results a sweep has taken, and those whose jobs it waits for.
select s.id, s.name, sum(u.taken)::bigint as "taken!", sum(u.attached)::bigint as "attached!"
from (
    select source_id, jobs as taken, 0 as attached from reused_from where sweep_id = $1
    union all
    select attached_sweep, 0, 1 from jobs where sweep_id = $1 and attached_sweep is not null
) u
join sweeps s on s.id = u.source_id
group by s.id, s.name
order by sum(u.taken) + sum(u.attached) desc, s.id
limit 20
