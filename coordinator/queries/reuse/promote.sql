-- Of the jobs that wait for one of these in vain, one takes its place: the oldest sweep's that may start jobs, the lowest
-- number. The others wait for that one from now on; so does the one that did not start, where its sweep has asked for
-- it. What has succeeded is of no use where its sweep has been given up, or the volumes have changed. The sweeps are held,
-- and nothing else moves jobs that wait.
with in_vain as (
    select l.sweep_id as from_sweep, l.number as from_job, f.sweep_id, f.number,
        fs.cancelled_at is null as may_run, fs.paused_at is not null as is_paused, fs.created_at,
        l.state = 'queued' and ls.cancelled_at is null as waits,
        l.state = 'queued' and ls.cancelled_at is null and ls.reuse = 'settled' as follows
    from unnest($1::uuid[], $2::int[]) as w (sweep_id, job)
    cross join lateral (
        select * from jobs where sweep_id = w.sweep_id and number = w.job offset 0
    ) l
    join sweeps ls on ls.id = l.sweep_id
    cross join lateral (
        select * from jobs where attached_sweep = w.sweep_id and attached_job = w.job offset 0
    ) f
    join sweeps fs on fs.id = f.sweep_id
    left join lateral (
        select * from results where sweep_id = w.sweep_id and job = w.job offset 0
    ) r on true
    left join attempts a on a.id = r.attempt_id
    where l.state in ('failed', 'cancelled', 'pruned')
        or l.state = 'queued' and (ls.cancelled_at is not null or ls.paused_at is not null)
        or l.state = 'succeeded' and (
            ls.expired_at is not null
            or fs.reuse_volumes is not null and a.volume_fingerprints is distinct from fs.reuse_volumes
        )
), ranked as (
    select v.*, first_value(is_fit) over first as has_heir,
        first_value(sweep_id) over first as to_sweep, first_value(number) over first as to_job
    from (select *, may_run and not (waits and is_paused) as is_fit from in_vain) v
    window first as (
        partition by from_sweep, from_job
        order by is_fit desc, is_paused, created_at, sweep_id, number
    )
), moves as (
    select sweep_id, number, to_sweep, to_job, (sweep_id, number) = (to_sweep, to_job) as is_heir
    from ranked
    where has_heir
    union all
    select from_sweep, from_job, to_sweep, to_job, false
    from ranked
    where has_heir and follows and (sweep_id, number) = (to_sweep, to_job)
), moved as (
    update jobs j
    set attached_sweep = case when m.is_heir then null else m.to_sweep end,
        attached_job = case when m.is_heir then null else m.to_job end,
        ready_at = case when m.is_heir then now() else 'infinity' end
    from moves m
    where j.sweep_id = m.sweep_id and j.number = m.number and j.state = 'queued'
)
select count(*) as "promoted!" from moves where is_heir
