update results set written = true where attempt_id = $1
