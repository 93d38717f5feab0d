-- Notes why try $3 failed, unless another coordinator has taken the message meanwhile. It is tried again after $5, or given
-- up: at once ($6), or when it has been tried for $7.
update outbox
set
    last_error = $4,
    due_at = now() + $5::interval,
    given_up_at = case when $6 or written_at + $7::interval < now() then now() end
where event_id = $1 and place = $2 and tries = $3 and delivered_at is null and given_up_at is null
returning given_up_at is not null as "given_up!"
