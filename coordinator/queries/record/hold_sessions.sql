-- Holds the sessions of agents until the end of the transaction; a superseded one is not in the answer.
select a.id
from agents a
join unnest($1::uuid[], $2::bigint[]) as w (agent, session) on w.agent = a.id and w.session = a.session
order by a.id
for share of a
