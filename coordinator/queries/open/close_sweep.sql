update sweeps set closed_at = now()
where id = $1 and open_jobs is not null and closed_at is null
returning id
