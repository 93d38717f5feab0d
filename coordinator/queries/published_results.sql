-- These published results, result $2[i] of sweep $1[i], and all that their documents say but the files; oldest first.
select r.sweep_id, r.job, r.attempt_id, r.published_at, r.revision, a.number as attempt, a.agent_id, a.image_id, a.started_at,
    a.finished_at, a.peak_memory_bytes, a.cpu_micros, a.written_bytes, a.wall_millis,
    r.reused, a.sweep_id as origin_id, a.job as origin_job, o.name as origin_name, o.jobs as origin_jobs,
    a.volume_fingerprints, a.given, g.name as agent, d.description as "software?",
    s.name, s.jobs, s.image, s.image_pin, j.parameters::text as parameters, j.point, j.metrics::text as metrics
from results r
join attempts a on a.id = r.attempt_id
join agents g on g.id = a.agent_id
join sweeps s on s.id = r.sweep_id
join sweeps o on o.id = a.sweep_id
join jobs j on j.sweep_id = r.sweep_id and j.number = r.job
left join image_descriptions d on d.image_id = a.image_id
where (r.sweep_id, r.job) in (select * from unnest($1::uuid[], $2::int[]))
order by r.published_at
