-- How these jobs of a sweep ended the last time that an attempt failed or was lost, and when queued ones may be tried again.
select distinct on (a.job)
    a.job, a.number, a.state as "state: Pg<AttemptState>", g.name as agent, a.note,
    a.reason as "reason: Pg<ReasonKind>", a.reason_code, a.reason_message, a.finished_at,
    case when j.state = 'queued' then j.ready_at end as ready_at
from attempts a
join jobs j on j.sweep_id = a.sweep_id and j.number = a.job
join agents g on g.id = a.agent_id
where a.sweep_id = $1 and a.job = any($2) and a.state in ('failed', 'lost')
order by a.job, a.number desc
