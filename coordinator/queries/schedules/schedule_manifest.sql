select manifest, rows from schedules where id = $1
