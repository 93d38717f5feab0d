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
    where l.state in ('failed', 'cancelled')
        or l.state = 'queued' and (ls.cancelled_at is not null or ls.paused_at is not null)
        or l.state = 'succeeded' and (
            ls.expired_at is not null
            or fs.reuse_volumes is not null and a.volume_fingerprints is distinct from fs.reuse_volumes
        )
), heirs as (
    select distinct on (from_sweep, from_job) from_sweep, from_job, sweep_id, number, follows
    from in_vain
    where may_run and not (waits and is_paused)
    order by from_sweep, from_job, is_paused, created_at, sweep_id, number
), moves as (
    select v.sweep_id, v.number, h.sweep_id as to_sweep, h.number as to_job,
        (v.sweep_id, v.number) = (h.sweep_id, h.number) as is_heir
    from in_vain v
    join heirs h using (from_sweep, from_job)
    union all
    select from_sweep, from_job, sweep_id, number, false from heirs where follows
), moved as (
    update jobs j
    set attached_sweep = case when m.is_heir then null else m.to_sweep end,
        attached_job = case when m.is_heir then null else m.to_job end,
        ready_at = case when m.is_heir then now() else 'infinity' end
    from moves m
    where j.sweep_id = m.sweep_id and j.number = m.number and j.state = 'queued'
)
select count(*) as "promoted!" from heirs
