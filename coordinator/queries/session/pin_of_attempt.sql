-- What an attempt's sweep is pinned to, if the attempt is this session's.
-- The state is written so that the indexes of live attempts seem to be of no help: each of these is found by its id.
select s.image_pin
from attempts a
join agents g on g.id = a.agent_id and g.session = $3
join sweeps s on s.id = a.sweep_id
where a.id = $1 and a.agent_id = $2 and coalesce(a.state in ('leased', 'preparing', 'running', 'publishing'), false)
