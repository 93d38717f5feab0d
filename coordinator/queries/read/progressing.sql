select a.job, a.state as "state: Pg<AttemptState>", a.note, g.name as agent
from attempts a
join agents g on g.id = a.agent_id
where a.sweep_id = $1 and a.state in ('leased', 'preparing', 'running', 'publishing') and a.note <> ''
order by a.job
limit 20
