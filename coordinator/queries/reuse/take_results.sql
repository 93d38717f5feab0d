-- Jobs ($1[i], $2[i]) that have not started succeed with the results of jobs ($3[i], $4[i]). Their sweeps are held, so that
-- these results are not given up meanwhile; a job whose result is gone stays as it is. Each step hands on all that the
-- next ones need: two lists of thousands are not joined.
with held as (
    select w.sweep_id, w.number, w.from_sweep, w.from_job, r.attempt_id, o.metrics, a.sweep_id as source_id
    from unnest($1::uuid[], $2::int[], $3::uuid[], $4::int[]) as w (sweep_id, number, from_sweep, from_job)
    cross join lateral (
        select id from sweeps where id = w.from_sweep and expired_at is null for key share
    ) s
    cross join lateral (
        select * from results where sweep_id = w.from_sweep and job = w.from_job offset 0
    ) r
    cross join lateral (
        select * from jobs where sweep_id = w.from_sweep and number = w.from_job offset 0
    ) o
    join attempts a on a.id = r.attempt_id
), taken as (
    update jobs j
    set state = 'succeeded', finished_at = now(), metrics = h.metrics, attached_sweep = null, attached_job = null,
        ready_at = now()
    from held h
    where j.sweep_id = h.sweep_id and j.number = h.number and j.state = 'queued'
    returning h.sweep_id, h.number, h.from_sweep, h.from_job, h.attempt_id, h.source_id
), published as (
    insert into results (sweep_id, job, attempt_id, reused)
    select sweep_id, number, attempt_id, true from taken
), listed as (
    insert into result_files (sweep_id, job, path, size, sha256, encoding, stored_size, stored_as)
    select t.sweep_id, t.number, f.path, f.size, f.sha256, f.encoding, f.stored_size, f.stored_as
    from taken t
    cross join lateral (
        select * from result_files where sweep_id = t.from_sweep and job = t.from_job offset 0
    ) f
), counted as (
    insert into reused_from (sweep_id, source_id, jobs)
    select sweep_id, source_id, count(*) from taken group by sweep_id, source_id
)
select count(*) as "taken!" from taken
