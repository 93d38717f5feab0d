-- Until the end of the transaction nobody cancels, pauses or tries again the sweeps of these jobs, and of those that wait
-- for them.
select id from sweeps
where id = any($1)
    or id in (
        select f.sweep_id
        from unnest($1::uuid[], $2::int[]) as l (sweep_id, job)
        join jobs f on f.attached_sweep = l.sweep_id and f.attached_job = l.job
    )
order by id
for share
