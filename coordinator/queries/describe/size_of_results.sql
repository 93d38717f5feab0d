-- The published files that a sweep's own attempts made, and their bytes in the store.
select count(*) as "files!", coalesce(sum(coalesce(f.stored_size, f.size)), 0)::bigint as "bytes!"
from result_files f
join results r on r.sweep_id = f.sweep_id and r.job = f.job
where f.sweep_id = $1 and not r.reused
