-- Locked in the order in which all others lock attempts, so that none waits for another in a ring.
with held as (
    select id from attempts
    where id = any($1) and agent_id = $2 and state in ('leased', 'preparing', 'running', 'publishing')
    order by sweep_id, job
    for update
)
update attempts a
set lease_expires_at = now() + $3::interval
from held
where a.id = held.id and a.state in ('leased', 'preparing', 'running', 'publishing')
returning a.id
