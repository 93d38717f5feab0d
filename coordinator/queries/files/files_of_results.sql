select sweep_id, job, path, size, sha256, encoding as "encoding: Pg<Encoding>", stored_size, stored_as
from result_files
where (sweep_id, job) in (select * from unnest($1::uuid[], $2::int[]))
order by sweep_id, job, path collate "C"
