-- Notes that another holder of an agent's id was refused; a row comes back if it was refused for that. As in say_hello.sql.
update agents
set contested_at = now(), contested_by = $2
where id = $1 and disconnected_at is null and last_seen_at > now() - $3::interval
  and (
      (place <> $2 and place <> '' and $2 <> '')
      or ((place = '' or $2 = '') and taken_over_at > now() - interval '1 minute' and takeovers >= $4)
  )
returning name, place
