update jobs set state = 'cancelled', finished_at = now()
where sweep_id = $1 and state = 'queued' and ($2::int[] is null or number = any($2))
