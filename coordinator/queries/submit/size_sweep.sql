-- What is known only when all rows have come.
update sweeps set jobs = $2, fingerprint = $3 where id = $1
