-- The numbered attempt of a job, or its latest: one that was handed back before it had started only if there is no other.
select a.id, a.number, a.state as "state: Pg<AttemptState>", a.started_at is not null as "started!", a.agent_id,
    g.name as agent
from attempts a
join agents g on g.id = a.agent_id
where a.sweep_id = $1 and a.job = $2 and ($3 = 0 or a.number = $3)
order by a.state = 'returned' and a.started_at is null, a.number desc
limit 1
