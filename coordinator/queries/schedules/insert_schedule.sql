-- Nothing if the name is taken.
insert into schedules (id, name, owner, rule, manifest, rows, sweep_name, jobs, catch_up, overlap, next_at, created_by, catch_up_seconds)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
on conflict (name) do nothing
