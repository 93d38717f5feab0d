-- A page of a sweep's published results, after job $2.
select r.job, r.attempt_id, r.written, a.number as attempt
from results r
join attempts a on a.id = r.attempt_id
where r.sweep_id = $1 and r.job > $2 and ($3::int is null or r.job = $3)
order by r.job
limit $4
