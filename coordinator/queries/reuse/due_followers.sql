-- Jobs that wait for one of these that has succeeded, and whose result it is: the volumes held what they held when the
-- jobs were compared.
select f.sweep_id, f.number, l.sweep_id as "leader_sweep!", l.number as "leader_job!"
from unnest($1::uuid[], $2::int[]) as w (sweep_id, job)
cross join lateral (
    select * from jobs where sweep_id = w.sweep_id and number = w.job offset 0
) l
cross join lateral (
    select * from results where sweep_id = w.sweep_id and job = w.job offset 0
) r
join attempts a on a.id = r.attempt_id
cross join lateral (
    select * from jobs where attached_sweep = w.sweep_id and attached_job = w.job offset 0
) f
join sweeps s on s.id = f.sweep_id
join sweeps ls on ls.id = l.sweep_id and ls.expired_at is null
where l.state = 'succeeded' and f.state = 'queued' and s.cancelled_at is null
    and (s.reuse_volumes is null or a.volume_fingerprints = s.reuse_volumes)
