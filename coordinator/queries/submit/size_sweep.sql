-- What is known only when all rows have come. An open sweep has room for more.
update sweeps
set jobs = case when open_jobs is null then $2 else jobs end,
    open_jobs = case when open_jobs is null then null else $2 end,
    fingerprint = $3
where id = $1
