select id, state as "state: Pg<AttemptState>" from attempts
where agent_id = $1 and state in ('leased', 'preparing', 'running', 'publishing')
