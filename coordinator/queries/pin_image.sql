-- The first agent to resolve the image writes the pin; all, itself included, run what is then written.
with live as (
    select a.sweep_id from attempts a
    join agents g on g.id = a.agent_id and g.session = $3
    where a.id = $1 and a.agent_id = $2 and a.state in ('leased', 'preparing', 'running', 'publishing')
)
update sweeps s
set image_pin = coalesce(s.image_pin, $4)
from live
where s.id = live.sweep_id
returning s.image_pin as "image_pin!"
