-- Which of these files are published: file $3[i] of job $2[i] of sweep $1.
select e.job as "job!", e.path as "path!"
from unnest($2::int[], $3::text[]) as e (job, path)
join result_files f on f.sweep_id = $1 and f.job = e.job and f.path = e.path
