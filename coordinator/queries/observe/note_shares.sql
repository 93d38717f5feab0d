-- Moves what each owner had running lately towards what runs now: what was so $1 seconds ago counts half as much. Jobs that run
-- in batches count as the containers that they fill.
insert into owner_shares (owner, containers, noted_at)
select
    coalesce(r.owner, o.owner),
    coalesce(o.containers, 0) * k.kept + coalesce(r.containers, 0) * (1 - k.kept),
    now()
from (
    select s.owner, sum(ceil(c.running::numeric / coalesce(s.batch, 1)))::float8 as containers
    from sweeps s
    cross join lateral (
        select coalesce(sum(running), 0) as running from sweep_counts where sweep_id = s.id
    ) c
    where s.ended_at is null
    group by s.owner
    having sum(c.running) > 0
) r
full join owner_shares o on o.owner = r.owner
cross join lateral (
    select power(0.5, greatest(extract(epoch from now() - coalesce(o.noted_at, now() - interval '1 minute')), 0) / $1::float8) as kept
) k
on conflict (owner) do update set containers = excluded.containers, noted_at = excluded.noted_at
