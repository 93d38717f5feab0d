-- What the published files of the owner's sweeps take in the store; files that a job took over from another one are the
-- other's.
select (
    coalesce((
        select sum(z.bytes)
        from sweeps s join result_sizes z on z.sweep_id = s.id and z.ended_at = s.ended_at
        where s.owner = $1 and s.expired_at is null
    ), 0) + coalesce((
        select sum(coalesce(f.stored_size, f.size))
        from sweeps s
        join result_files f on f.sweep_id = s.id
        join results r on r.sweep_id = f.sweep_id and r.job = f.job and not r.reused
        where s.owner = $1 and s.expired_at is null and s.ended_at is null
    ), 0)
)::bigint as "bytes!"
