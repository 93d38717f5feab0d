-- How these jobs of a sweep ended the last time that an attempt failed or was lost, and when queued ones may be tried again.
select
    a.job, a.number, a.state as "state: Pg<AttemptState>", g.name as agent, a.note,
    a.reason as "reason: Pg<ReasonKind>", a.reason_code, a.reason_message, a.finished_at,
    case when j.state = 'queued' then j.ready_at end as ready_at
from (select distinct job from unnest($2::int[]) as job) w
cross join lateral (
    select * from attempts
    where sweep_id = $1 and job = w.job and state in ('failed', 'lost')
    order by number desc
    limit 1
) a
cross join lateral (
    select state, ready_at from jobs where sweep_id = $1 and number = w.job offset 0
) j
join agents g on g.id = a.agent_id
