-- Of the jobs that wait for one of these in vain, one takes its place: the oldest sweep's that may start jobs, the lowest
-- number. The others wait for that one from now on; so does the one that did not start, where its sweep has asked for
-- it. The sweeps are held, and nothing else moves jobs that wait.
with given_up as (
    select l.sweep_id, l.number, l.state = 'queued' and s.cancelled_at is null as waits,
        l.state = 'queued' and s.cancelled_at is null and s.reuse = 'settled' as follows
    from unnest($1::uuid[], $2::int[]) as w (sweep_id, job)
    join jobs l on l.sweep_id = w.sweep_id and l.number = w.job
    join sweeps s on s.id = l.sweep_id
    where l.state in ('failed', 'cancelled')
        or l.state = 'queued' and (s.cancelled_at is not null or s.paused_at is not null)
        or l.state = 'succeeded' and s.expired_at is not null
), heirs as (
    select distinct on (l.sweep_id, l.number)
        l.sweep_id as from_sweep, l.number as from_job, l.follows, f.sweep_id, f.number
    from given_up l
    join jobs f on f.attached_sweep = l.sweep_id and f.attached_job = l.number
    join sweeps s on s.id = f.sweep_id
    where s.cancelled_at is null and (not l.waits or s.paused_at is null)
    order by l.sweep_id, l.number, s.paused_at is not null, s.created_at, s.id, f.number
), moved as (
    update jobs f
    set attached_sweep = case when (f.sweep_id, f.number) = (h.sweep_id, h.number) then null else h.sweep_id end,
        attached_job = case when (f.sweep_id, f.number) = (h.sweep_id, h.number) then null else h.number end,
        ready_at = case when (f.sweep_id, f.number) = (h.sweep_id, h.number) then now() else 'infinity' end
    from heirs h
    where f.attached_sweep = h.from_sweep and f.attached_job = h.from_job
), put_back as (
    update jobs l
    set attached_sweep = h.sweep_id, attached_job = h.number, ready_at = 'infinity'
    from heirs h
    where l.sweep_id = h.from_sweep and l.number = h.from_job and h.follows and l.state = 'queued'
)
select count(*) as "promoted!" from heirs
