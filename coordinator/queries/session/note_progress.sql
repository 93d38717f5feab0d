-- The state is written so that the indexes of live attempts seem to be of no help: each of these is found by its id.
update attempts a set note = p.note
from unnest($2::uuid[], $3::text[]) as p (id, note)
where a.id = p.id and a.agent_id = $1 and coalesce(a.state in ('leased', 'preparing', 'running', 'publishing'), false)
    and a.note <> p.note
