select id, state = 'leased' as "unreceived!" from attempts
where state in ('leased', 'preparing', 'running', 'publishing') and lease_expires_at < now()
order by lease_expires_at
limit $1
