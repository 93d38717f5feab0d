update attempts a set note = p.note
from unnest($2::uuid[], $3::text[]) as p (id, note)
where a.id = p.id and a.agent_id = $1 and a.state in ('leased', 'preparing', 'running', 'publishing')
    and a.note <> p.note
