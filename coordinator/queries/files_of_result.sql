select path, size, sha256 from result_files where sweep_id = $1 and job = $2 order by path
