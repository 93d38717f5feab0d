-- Of these attempts, each as an agent speaks of it in a session, those whose sweep prunes jobs for what they report: they are
-- live, their containers have not ended, and the session is their agent's latest. Rows with a key of two columns are looked
-- for with both (`offset 0`).
-- The state is written so that the indexes of live attempts seem to be of no help: each of these is found by its id.
select w.place as "place!", a.id, a.sweep_id, a.job, s.stop_when as "stop_when!", j.parameters::text as parameters, j.point
from unnest($1::uuid[], $2::uuid[], $3::bigint[]) with ordinality as w (attempt_id, agent_id, session, place)
join attempts a on a.id = w.attempt_id and a.agent_id = w.agent_id
    and coalesce(a.state in ('leased', 'preparing', 'running'), false)
join agents g on g.id = w.agent_id and g.session = w.session
cross join lateral (
    select stop_when from sweeps where id = a.sweep_id and stop_when is not null offset 0
) s
cross join lateral (
    select parameters, point from jobs where sweep_id = a.sweep_id and number = a.job offset 0
) j
order by w.place
