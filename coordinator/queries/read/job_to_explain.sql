-- The job of a sweep that a user most likely asks about: the first that waits, else the first that runs, failed, was
-- cancelled or pruned, else the first of all.
select coalesce(
    (select min(number) from jobs where sweep_id = $1 and state = 'queued' and attached_sweep is null),
    (select min(number) from jobs where sweep_id = $1 and attached_sweep is not null),
    (select min(number) from jobs where sweep_id = $1 and state = 'running'),
    (select min(number) from jobs where sweep_id = $1 and state = 'failed'),
    (select min(number) from jobs where sweep_id = $1 and state = 'cancelled'),
    (select min(number) from jobs where sweep_id = $1 and state = 'pruned'),
    0
) as "number!"
