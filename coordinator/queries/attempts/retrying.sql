-- Why queued jobs of a sweep wait for another try. Jobs are leased in the order of their numbers, so that those that were
-- tried before are among the first that are queued: of a large sweep only those are looked at.
select f.state as "state!: Pg<AttemptState>", f.reason as "reason: Pg<ReasonKind>", f.reason_code, f.reason_message,
    count(*) as "jobs!", min(j.number) as "first_job!", min(j.ready_at) as "ready_at!"
from (
    select number, attempts, ready_at from jobs
    where sweep_id = $1 and state = 'queued' and attached_sweep is null
    order by number
    limit 20000
) j
cross join lateral (
    select state, reason, reason_code, reason_message from attempts
    where sweep_id = $1 and job = j.number and state in ('failed', 'lost')
    order by number desc
    limit 1
) f
where j.attempts > 0
group by f.state, f.reason, f.reason_code, f.reason_message
order by count(*) desc, min(j.number)
limit 20
