update attempts set lease_expires_at = greatest(lease_expires_at, now() + $1::interval)
where state in ('leased', 'preparing', 'running', 'publishing')
