insert into result_files (sweep_id, job, path, size, sha256)
select $1, $2, f.path, f.size, f.sha256
from unnest($3::text[], $4::bigint[], $5::bytea[]) as f (path, size, sha256)
