update attempts set preempted_by = $2 where id = any($1)
