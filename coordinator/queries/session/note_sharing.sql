-- What an agent has found of a sweep's shared containers. A container each is the last resort: nothing comes after it.
-- The state is written so that the indexes of live attempts seem to be of no help: each of these is found by its id.
with live as (
    select a.sweep_id from attempts a
    join agents g on g.id = a.agent_id and g.session = $3
    where a.id = $1 and a.agent_id = $2 and coalesce(a.state in ('leased', 'preparing', 'running', 'publishing'), false)
), new as (
    select $4::text as containers, $5::text as why, $6::jsonb as left_out
)
update sweeps s
set containers = coalesce(case when s.containers = 'each' then 'each' end, new.containers, s.containers),
    containers_why = case
        when new.containers is null or s.containers in ('each', new.containers) then s.containers_why
        else new.why
    end,
    left_out = s.left_out || new.left_out
from live, new
where s.id = live.sweep_id
