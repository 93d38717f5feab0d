-- The sweep is held.
update sweeps set open_jobs = $2 where id = $1
