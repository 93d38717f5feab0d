-- Leases ready jobs of a sweep, from number $5 on, to agents: $2[i] in session $3[i], named once for each job that it
-- wants. Two callers never get the same job: rows that another one has locked are passed over. The agents' rows are
-- locked against newer sessions, whose reconciliation must see these leases or find that they were never made. An agent or
-- a sweep that somebody else holds gets nothing this time: no claim waits for who does not move.
-- $6: take only jobs that ran out of memory and need so much now; null: take only jobs that need what their sweep says.
-- Rows are found again by their places (ctid): they are locked, so they stay where they are. The state that the update
-- expects is written so that no index seems to help: one that holds all queued jobs would be read from end to end.
with held as (
    select a.id
    from (
        select distinct agent, session from unnest($2::uuid[], $3::bigint[]) as named (agent, session) order by agent
    ) w
    cross join lateral (
        select id from agents where id = w.agent and session = w.session and drained_at is null for share skip locked
    ) a
), slots as (
    select array(
        select agent from unnest($2::uuid[]) as agent where agent in (select id from held)
    ) as agents
), sweep as (
    select id, case when canary > 0 and canary_passed_at is null then canary else jobs end as jobs
    from sweeps
    where id = $1 and cancelled_at is null and paused_at is null and (after = '{}' or after_passed_at is not null)
    for share skip locked
), ready as (
    select j.ctid from jobs j
    where j.sweep_id = $1 and j.state = 'queued' and j.attached_sweep is null and j.ready_at <= now()
        and (select $6::bigint) is null and j.memory_bytes is null
        and j.number >= $5
        and j.number < (select jobs from sweep)
    order by j.number
    limit (select cardinality(agents) from slots)
    for update of j skip locked
), grown as (
    select j.ctid from jobs j
    where j.sweep_id = $1 and coalesce(j.state = 'queued', false) and j.attached_sweep is null and j.ready_at <= now()
        and j.memory_bytes = (select $6::bigint)
        and j.number < (select jobs from sweep)
    order by j.number
    limit (select cardinality(agents) from slots)
    for update of j skip locked
), claimed as (
    update jobs j
    set state = 'running', attempts = j.attempts + 1
    where j.ctid = any (array(select ctid from ready union all select ctid from grown)) and coalesce(j.state = 'queued', false)
    returning j.number, j.attempts, j.parameters, j.point, j.ready_at
), numbered as (
    select c.*, (select agents from slots)[row_number() over (order by c.number)] as agent, gen_random_uuid() as id
    from claimed c
), leased as (
    insert into attempts (id, sweep_id, job, number, agent_id, lease_expires_at, memory_bytes)
    select n.id, $1, n.number, n.attempts, n.agent, now() + $4::interval, $6 from numbered n
)
select n.id as "id!", n.number as "job!", n.attempts as "number!", n.agent as "agent_id!",
    n.parameters::text as parameters, n.point, (select image_pin from sweeps where id = $1) as image_pin,
    extract(epoch from now() - n.ready_at)::double precision as "waited!"
from numbered n
order by n.number
