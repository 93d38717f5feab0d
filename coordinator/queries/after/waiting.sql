-- The open sweeps that wait for others, each with those.
select id, name, after, after_any from sweeps
where ended_at is null and cancelled_at is null and after <> '{}' and after_passed_at is null
order by id
