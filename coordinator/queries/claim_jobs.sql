-- Leases up to $2 ready jobs of a sweep to an agent. Two callers never get the same job: rows that another one has
-- locked are passed over. The agent's row is locked against a newer session, whose reconciliation must see these
-- leases or find that they were never made.
with session as (
    select id from agents where id = $3 and session = $4 for share
), sweep as (
    select id from sweeps where id = $1 and cancelled_at is null for share
), ready as (
    select number from jobs
    where sweep_id = $1 and state = 'queued' and ready_at <= now()
        and exists (select from session)
        and exists (select from sweep)
    order by number
    limit $2
    for update skip locked
), claimed as (
    update jobs j
    set state = 'running', attempts = j.attempts + 1
    from ready r
    where j.sweep_id = $1 and j.number = r.number and j.state = 'queued'
    returning j.number, j.attempts, j.parameters
), leased as (
    insert into attempts (id, sweep_id, job, number, agent_id, lease_expires_at)
    select gen_random_uuid(), $1, c.number, c.attempts, $3, now() + $5::interval from claimed c
    returning id, job, number
)
select
    l.id, l.job, l.number, c.parameters::text as "parameters!",
    s.name as sweep_name, s.manifest::text as "manifest!", s.image_pin
from leased l
join claimed c on c.number = l.job
join sweeps s on s.id = $1
order by l.job
