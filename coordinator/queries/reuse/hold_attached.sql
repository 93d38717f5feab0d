-- Until the end of the transaction nobody cancels, pauses or tries again the sweeps of these jobs, and of those that wait
-- for them.
select id from sweeps
where id = any($1)
    or id in (
        select f.sweep_id
        from unnest($1::uuid[], $2::int[]) as l (sweep_id, job)
        cross join lateral (
            select * from jobs where attached_sweep = l.sweep_id and attached_job = l.job offset 0
        ) f
    )
order by id
for share
