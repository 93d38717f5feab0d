select first_job, jobs, fingerprint from additions where sweep_id = $1 and key = $2
