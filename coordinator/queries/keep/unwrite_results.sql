-- Their `result.json` is to be written anew.
update results set written = false where sweep_id = $1 and job = any($2)
