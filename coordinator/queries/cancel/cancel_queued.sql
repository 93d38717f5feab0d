-- Cancels all queued jobs of a sweep.
update jobs set state = 'cancelled', finished_at = now(), attached_sweep = null, attached_job = null
where sweep_id = $1 and state = 'queued'
