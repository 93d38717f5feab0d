-- Leases ready jobs of a sweep to agents: to agent $2[i], in session $3[i], up to $4[i] of them; jobs from number $6 on.
-- Two callers never get the same job: rows that another one has locked are passed over. The agents' rows are locked
-- against newer sessions, whose reconciliation must see these leases or find that they were never made.
with held as (
    select a.id, w.jobs
    from agents a
    join unnest($2::uuid[], $3::bigint[], $4::int[]) as w (agent, session, jobs)
        on w.agent = a.id and w.session = a.session
    order by a.id
    for share of a
), sweep as (
    select id, case when canary > 0 and canary_passed_at is null then canary else jobs end as jobs
    from sweeps
    where id = $1 and cancelled_at is null and paused_at is null
    for share
), slots as (
    select h.id as agent, row_number() over (order by h.id, n) as slot
    from held h
    cross join lateral generate_series(1, h.jobs) as n
), ready as (
    select j.number from jobs j
    where j.sweep_id = $1 and j.state = 'queued' and j.ready_at <= now() and j.number >= $6
        and j.number < (select jobs from sweep)
    order by j.number
    limit (select count(*) from slots)
    for update of j skip locked
), numbered as (
    select number, row_number() over (order by number) as slot from ready
), claimed as (
    update jobs j
    set state = 'running', attempts = j.attempts + 1
    from numbered n
    join slots s on s.slot = n.slot
    where j.sweep_id = $1 and j.number = n.number and j.state = 'queued'
    returning j.number, j.attempts, j.parameters, j.point, s.agent
), leased as (
    insert into attempts (id, sweep_id, job, number, agent_id, lease_expires_at)
    select gen_random_uuid(), $1, c.number, c.attempts, c.agent, now() + $5::interval from claimed c
    returning id, job, number, agent_id
)
select l.id, l.job, l.number, l.agent_id, c.parameters::text as parameters, c.point, s.image_pin
from leased l
join claimed c on c.number = l.job
join sweeps s on s.id = $1
order by l.job
