-- Counts what the ended sweeps of the owner take in the store, those that are not counted yet.
insert into result_sizes (sweep_id, bytes, ended_at)
select s.id, f.bytes, s.ended_at
from sweeps s
left join result_sizes z on z.sweep_id = s.id
cross join lateral (
    select coalesce(sum(coalesce(f.stored_size, f.size)), 0)::bigint as bytes
    from result_files f
    where f.sweep_id = s.id and exists (select from results r where r.sweep_id = f.sweep_id and r.job = f.job and not r.reused)
) f
where s.owner = $1 and s.expired_at is null and s.ended_at is not null and z.ended_at is distinct from s.ended_at
on conflict (sweep_id) do update set bytes = excluded.bytes, ended_at = excluded.ended_at
