-- Takes an agent out of service, or back. No row comes back if there is no such agent.
update agents set drained_at = case when $2 then coalesce(drained_at, now()) end
where id = $1
returning id
