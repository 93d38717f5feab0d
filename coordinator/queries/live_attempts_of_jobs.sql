select id from attempts
where sweep_id = $1 and ($2::int[] is null or job = any($2))
    and state in ('leased', 'preparing', 'running', 'publishing')
