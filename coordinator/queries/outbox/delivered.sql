-- Whoever brought it: it has been delivered.
update outbox set delivered_at = now()
where event_id = $1 and place = $2 and delivered_at is null and given_up_at is null
