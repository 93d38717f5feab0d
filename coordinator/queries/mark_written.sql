update results set written = true where attempt_id = any($1)
