select s.owner, coalesce(sum(c.running), 0) as "running!"
from sweeps s
join sweep_counts c on c.sweep_id = s.id
where s.ended_at is null
group by s.owner
