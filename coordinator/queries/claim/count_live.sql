select count(*) as "live!" from attempts
where sweep_id = $1 and state in ('leased', 'preparing', 'running', 'publishing')
