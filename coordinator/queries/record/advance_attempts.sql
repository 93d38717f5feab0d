-- Notes that attempts have come further, each to the state $2[i] from one that may lead there. Locked in the order in
-- which all others lock attempts.
-- The state is written so that the indexes of live attempts seem to be of no help: each of these is found by its id.
with held as (
    select a.id, e.state, e.image_id
    from unnest($1::uuid[], $2::attempt_state[], $3::text[], $4::uuid[]) as e (id, state, image_id, agent)
    join attempts a on a.id = e.id and a.agent_id = e.agent
    where coalesce(a.state in ('leased', 'preparing', 'running', 'publishing'), false) and a.state <= e.state
    order by a.sweep_id, a.job
    for update of a
)
update attempts a
set state = h.state,
    started_at = case when h.image_id is null then a.started_at else coalesce(a.started_at, now()) end,
    stopped_at = case when h.state = 'publishing' then coalesce(a.stopped_at, now()) else a.stopped_at end,
    image_id = coalesce(h.image_id, a.image_id),
    note = ''
from held h
where a.id = h.id
