select s.owner, count(*) as "running!"
from attempts a
join sweeps s on s.id = a.sweep_id
where a.state in ('leased', 'preparing', 'running', 'publishing')
group by s.owner
