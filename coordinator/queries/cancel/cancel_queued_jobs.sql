-- Cancels these jobs of a sweep, where they are queued.
update jobs j
set state = 'cancelled', finished_at = now(), attached_sweep = null, attached_job = null
from (select distinct $1::uuid as sweep_id, number from unnest($2::int[]) as number) w
where j.sweep_id = w.sweep_id and j.number = w.number and j.state = 'queued'
