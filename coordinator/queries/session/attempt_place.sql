-- Where an attempt's files belong, and whether it may still write them.
select a.sweep_id, a.job, a.number, s.name, s.jobs,
    a.state as "state: Pg<AttemptState>", a.encoding as "encoding: Pg<Encoding>"
from attempts a
join sweeps s on s.id = a.sweep_id
join agents g on g.id = a.agent_id
where a.id = $1 and a.agent_id = $2 and g.session = $3
