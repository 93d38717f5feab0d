-- The sweep is held: no job of it moves meanwhile. It is found by its id, not among all that are open.
update sweeps s
set ended_at = coalesce((select max(finished_at) from jobs j where j.sweep_id = s.id), now()), paused_at = null
where id = $1 and coalesce(ended_at is null, false) and (open_jobs is null or closed_at is not null)
    and not exists (select from jobs j where j.sweep_id = s.id and j.state = 'queued' and j.attached_sweep is null)
    and not exists (select from jobs j where j.sweep_id = s.id and j.attached_sweep is not null)
    and not exists (select from attempts a where a.sweep_id = s.id
        and a.state in ('leased', 'preparing', 'running', 'publishing'))
