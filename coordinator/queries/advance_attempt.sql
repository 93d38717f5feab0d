update attempts
set state = $3,
    started_at = case when $3 = 'running'::attempt_state then coalesce(started_at, now()) else started_at end,
    image_id = coalesce($4, image_id),
    note = ''
where id = $1 and agent_id = $2 and state = any($5)
returning id
