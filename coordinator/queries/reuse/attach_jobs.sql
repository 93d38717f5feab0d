-- Jobs $2[i] of the sweep wait for the end of jobs ($3[i], $4[i]).
update jobs j
set ready_at = 'infinity', attached_sweep = w.leader_sweep, attached_job = w.leader_job
from unnest($2::int[], $3::uuid[], $4::int[]) as w (number, leader_sweep, leader_job)
where j.sweep_id = $1 and j.number = w.number and j.state = 'queued' and j.attached_sweep is null
