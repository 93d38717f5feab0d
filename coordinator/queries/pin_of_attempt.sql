-- What an attempt's sweep is pinned to, if the attempt is this session's.
select s.image_pin
from attempts a
join agents g on g.id = a.agent_id and g.session = $3
join sweeps s on s.id = a.sweep_id
where a.id = $1 and a.agent_id = $2 and a.state in ('leased', 'preparing', 'running', 'publishing')
