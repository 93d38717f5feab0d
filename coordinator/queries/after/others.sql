-- How sweeps stand that another one waits for, in the order in which they are named; those in $2 may end in any way. The jobs
-- of a sweep that has ended no longer change.
select
    p.id, p.name, p.ended_at is not null as "ended!", p.id = any($2::uuid[]) as "any_end!", c.failed as "failed!",
    c.cancelled as "cancelled!"
from unnest($1::uuid[]) with ordinality w (id, place)
cross join lateral (select * from sweeps where id = w.id offset 0) p
cross join lateral (
    select coalesce(sum(failed), 0)::bigint as failed, coalesce(sum(cancelled), 0)::bigint as cancelled
    from sweep_counts where sweep_id = p.id
) c
order by w.place
