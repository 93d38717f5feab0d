-- Leases ready jobs of a sweep, from number $5 on, to agents in batches: batch $6[i] has room for $7[i] jobs, and goes to
-- agent $2[i] in session $3[i]. A job of which an earlier attempt in a batch ended by the container's doing gets a batch of
-- its own; one that failed before a container ran does not. Otherwise as claim_jobs.sql, and locked alike.
with held as (
    select a.id
    from (
        select distinct agent, session from unnest($2::uuid[], $3::bigint[]) as named (agent, session) order by agent
    ) w
    cross join lateral (
        select id from agents where id = w.agent and session = w.session and drained_at is null for share skip locked
    ) a
), slots as (
    select agent, batch, size, row_number() over (order by place) as slot
    from unnest($2::uuid[], $6::uuid[], $7::int[]) with ordinality as named (agent, batch, size, place)
    where agent in (select id from held)
), sweep as (
    select id, case when canary > 0 and canary_passed_at is null then canary else jobs end as jobs
    from sweeps
    where id = $1 and cancelled_at is null and paused_at is null and (after = '{}' or after_passed_at is not null)
    for share skip locked
), ready as (
    select j.ctid, j.number,
        j.attempts > 0 and exists (
            select from attempts a
            where a.sweep_id = j.sweep_id and a.job = j.number and a.batch is not null and a.state = 'failed'
                and a.reason not in ('agent', 'volume', 'image')
        ) as alone
    from jobs j
    where j.sweep_id = $1 and j.state = 'queued' and j.attached_sweep is null and j.ready_at <= now()
        and j.number >= $5
        and j.number < (select jobs from sweep)
    order by j.number
    limit (select coalesce(sum(size), 0) from slots)
    for update of j skip locked
), ranked as (
    select r.*, row_number() over (partition by r.alone order by r.number) as rank from ready r
), shares as (
    -- A batch for each job that is alone, then a place for each of the others.
    select
        array(select agent from slots order by slot) as agents,
        array(select batch from slots order by slot) as batches
), places as (
    select array_agg(agent order by slot) as agents, array_agg(batch order by slot) as batches
    from slots cross join generate_series(1, size)
    where slot > (select count(*) from ranked where alone)
), taken as (
    select ctid, number, alone from ranked
    where rank <= case
        when alone then (select cardinality(agents) from shares)
        else (select coalesce(cardinality(agents), 0) from places)
    end
), claimed as (
    update jobs j
    set state = 'running', attempts = j.attempts + 1
    where j.ctid = any (array(select ctid from taken)) and coalesce(j.state = 'queued', false)
    returning j.number, j.attempts, j.parameters, j.point, j.ready_at
), numbered as (
    select c.*, c.number = any (array(select number from taken where alone)) as alone from claimed c
), placed as (
    select n.*, row_number() over (partition by n.alone order by n.number) as rank from numbered n
), assigned as (
    select p.*, gen_random_uuid() as id,
        case when alone then (select agents from shares)[rank] else (select agents from places)[rank] end as agent,
        case when alone then (select batches from shares)[rank] else (select batches from places)[rank] end as batch
    from placed p
), leased as (
    insert into attempts (id, sweep_id, job, number, agent_id, lease_expires_at, batch)
    select a.id, $1, a.number, a.attempts, a.agent, now() + $4::interval, a.batch
    from assigned a
)
select a.id as "id!", a.number as "job!", a.attempts as "number!", a.agent as "agent_id!", a.batch as "batch!",
    a.parameters::text as parameters, a.point, (select image_pin from sweeps where id = $1) as image_pin,
    extract(epoch from now() - a.ready_at)::double precision as "waited!"
from assigned a
order by a.number
