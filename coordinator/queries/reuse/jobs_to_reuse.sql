-- A page of the jobs of a sweep ($1) whose results can be taken or, of those before number $4, whose end can be waited for.
-- One that waits for another stands for that one. A result counts only if the volumes held the same ($5), where there are
-- any. Of a matrix only these points may be of interest ($6).
select
    j.number, j.state as "state: Pg<JobState>", j.parameters::text as parameters, j.point,
    coalesce(j.attached_sweep, j.sweep_id) as "leader_sweep!", coalesce(j.attached_job, j.number) as "leader_job!",
    a.finished_at as "finished_at?", hashtextextended(j.metrics::text, 0) as metrics_hash
from jobs j
left join results r on r.sweep_id = j.sweep_id and r.job = j.number
left join attempts a on a.id = r.attempt_id
where j.sweep_id = $1 and j.number > $2
    and ($6::bigint[] is null or j.parameters is not null
        or coalesce(j.point, j.number) in (select unnest($6::bigint[])))
    and (
        r.job is not null and ($5::jsonb is null or a.volume_fingerprints = $5)
        or j.state in ('queued', 'running') and j.waits_for is null and j.number < $4
    )
order by j.number
limit $3
