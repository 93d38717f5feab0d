-- The live attempts of all sweeps, or of one agent or one sweep, the oldest first, and how far they are.
select
    a.sweep_id, s.name as sweep, s.owner, a.job, a.number, a.state as "state: Pg<AttemptState>",
    g.name as agent, a.note, a.leased_at, a.started_at,
    p.at as "at?", p.fraction, p.done, p.total, p.note as said, p.metrics::text as metrics
from attempts a
join agents g on g.id = a.agent_id
join sweeps s on s.id = a.sweep_id
left join progress p on p.attempt_id = a.id
where a.state in ('leased', 'preparing', 'running', 'publishing') and ($1::uuid is null or a.agent_id = $1)
    and ($3::uuid is null or a.sweep_id = $3)
order by a.leased_at, a.sweep_id, a.job
limit $2
