-- A user who resumes a sweep whose canary failed wants the rest in spite of it.
update sweeps s
set paused_at = null, pause_reason = '',
    canary_passed_at = case when pause_reason <> '' then now() else canary_passed_at end
where id = $1 and paused_at is not null
returning id
