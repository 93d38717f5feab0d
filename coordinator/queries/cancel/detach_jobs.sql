-- Jobs that were cancelled while they waited for identical ones, and are wanted again, run by themselves. The sweep is held.
update jobs
set ready_at = now(), attached_sweep = null, attached_job = null
where sweep_id = $1 and attached_sweep is not null
