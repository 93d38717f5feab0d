-- What these results' documents say has changed: they are to be written again.
update results set written = false, revision = revision + 1 where sweep_id = $1 and job = any($2)
