-- The first agent to resolve the image writes the pin; nothing is written where there is one.
-- The state is written so that the indexes of live attempts seem to be of no help: each of these is found by its id.
with live as (
    select a.sweep_id from attempts a
    join agents g on g.id = a.agent_id and g.session = $3
    where a.id = $1 and a.agent_id = $2 and coalesce(a.state in ('leased', 'preparing', 'running', 'publishing'), false)
)
update sweeps s
set image_pin = $4
from live
where s.id = live.sweep_id and s.image_pin is null
