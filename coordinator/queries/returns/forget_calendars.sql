delete from calendars c
where c.sweep_id = $1
    and not exists (select from returns x where x.sweep_id = c.sweep_id and x.calendar = c.id)
