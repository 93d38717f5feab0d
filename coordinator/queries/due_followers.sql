-- Jobs that wait for one of these that has succeeded, and whose result it is: the volumes held what they held when the
-- jobs were compared.
select f.sweep_id, f.number, l.sweep_id as "leader_sweep!", l.number as "leader_job!"
from unnest($1::uuid[], $2::int[]) as w (sweep_id, job)
join jobs l on l.sweep_id = w.sweep_id and l.number = w.job
join results r on r.sweep_id = l.sweep_id and r.job = l.number
join attempts a on a.id = r.attempt_id
join jobs f on f.attached_sweep = l.sweep_id and f.attached_job = l.number
join sweeps s on s.id = f.sweep_id
join sweeps ls on ls.id = l.sweep_id and ls.expired_at is null
where l.state = 'succeeded' and f.state = 'queued' and s.cancelled_at is null
    and (s.reuse_volumes is null or a.volume_fingerprints = s.reuse_volumes)
