-- These published results, result $2[i] of sweep $1[i], and all that their documents say but the files; oldest first. Rows
-- with a key of two columns are looked for with both (`offset 0`), whatever is guessed of how many share the first.
select r.sweep_id, r.job, r.attempt_id, r.published_at, r.revision, a.number as attempt, a.agent_id, a.image_id, a.started_at,
    a.finished_at, a.peak_memory_bytes, a.cpu_micros, a.written_bytes, a.wall_millis,
    r.reused, a.sweep_id as origin_id, a.job as origin_job, o.name as origin_name, o.jobs as origin_jobs,
    a.volume_fingerprints, a.given, g.name as agent, d.description as "software?",
    s.name, s.jobs, s.image, s.image_pin, j.parameters::text as parameters, j.point, j.metrics::text as metrics
from unnest($1::uuid[], $2::int[]) as w (sweep_id, job)
cross join lateral (
    select * from results where sweep_id = w.sweep_id and job = w.job offset 0
) r
cross join lateral (
    select parameters, point, metrics from jobs where sweep_id = w.sweep_id and number = w.job offset 0
) j
join attempts a on a.id = r.attempt_id
join agents g on g.id = a.agent_id
join sweeps s on s.id = r.sweep_id
join sweeps o on o.id = a.sweep_id
left join lateral (
    select description from image_descriptions where image_id = a.image_id offset 0
) d on true
order by r.published_at
