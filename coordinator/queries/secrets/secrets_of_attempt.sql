-- The secrets that the sweep of a live attempt names and that are here, if the attempt is this session's; one row without a
-- secret if none is.
-- The state is written so that the indexes of live attempts seem to be of no help: each of these is found by its id.
select
    s.owner, x.name as "name?", x.owners as "owners?", x.key_id as "key_id?", x.nonce as "nonce?", x.sealed as "sealed?",
    coalesce(s.any_secret or s.owner = any(x.owners) or '*' = any(x.owners), false) as "may!"
from attempts a
join agents g on g.id = a.agent_id and g.session = $3
join sweeps s on s.id = a.sweep_id
left join secrets x on x.name = any(s.secrets)
where a.id = $1 and a.agent_id = $2 and coalesce(a.state in ('leased', 'preparing', 'running', 'publishing'), false)
