select key_id, count(*) as "secrets!" from secrets group by key_id order by key_id
