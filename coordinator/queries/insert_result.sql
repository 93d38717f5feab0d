insert into results (sweep_id, job, attempt_id) values ($1, $2, $3)
