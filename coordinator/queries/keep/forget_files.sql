delete from result_files where sweep_id = any($1)
