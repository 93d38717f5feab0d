select id, state as "state: Pg<AttemptState>" from attempts where id = any($1) and agent_id = $2
