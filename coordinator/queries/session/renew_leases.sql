-- Locked in the order in which all others lock attempts, so that none waits for another in a ring.
-- The state is written so that the indexes of live attempts seem to be of no help: each of these is found by its id.
with held as (
    select id from attempts
    where id = any($1) and agent_id = $2 and coalesce(state in ('leased', 'preparing', 'running', 'publishing'), false)
    order by sweep_id, job
    for update
)
update attempts a
set lease_expires_at = now() + $3::interval
from held
where a.id = held.id and coalesce(a.state in ('leased', 'preparing', 'running', 'publishing'), false)
returning a.id
