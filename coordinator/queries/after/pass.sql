-- Lets a sweep start that has waited for others, if none of these was opened again meanwhile.
update sweeps s set after_passed_at = now()
where id = $1 and cancelled_at is null and after <> '{}' and after_passed_at is null
    and not exists (select from sweeps p where p.id = any(s.after) and p.ended_at is null)
