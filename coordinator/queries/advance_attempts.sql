-- Notes that attempts have come further, each to the state $2[i] from one that may lead there. Locked in the order in
-- which all others lock attempts.
with held as (
    select id from attempts where id = any($1) order by sweep_id, job for update
)
update attempts a
set state = e.state,
    started_at = case when e.image_id is null then a.started_at else coalesce(a.started_at, now()) end,
    image_id = coalesce(e.image_id, a.image_id),
    note = ''
from held h
join unnest($1::uuid[], $2::attempt_state[], $3::text[], $4::uuid[]) as e (id, state, image_id, agent)
    on e.id = h.id
where a.id = h.id and a.agent_id = e.agent
    and a.state in ('leased', 'preparing', 'running', 'publishing') and a.state <= e.state
