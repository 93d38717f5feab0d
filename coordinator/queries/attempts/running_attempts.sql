-- The live attempts of all sweeps, or of one agent, the oldest first.
select
    a.sweep_id, s.name as sweep, s.owner, a.job, a.number, a.state as "state: Pg<AttemptState>",
    g.name as agent, a.note, a.leased_at, a.started_at
from attempts a
join agents g on g.id = a.agent_id
join sweeps s on s.id = a.sweep_id
where a.state in ('leased', 'preparing', 'running', 'publishing') and ($1::uuid is null or a.agent_id = $1)
order by a.leased_at, a.sweep_id, a.job
limit $2
