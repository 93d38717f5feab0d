-- Of these sweeps what decides whether their queued jobs may start, and how long a job of each takes, by the latest that
-- have succeeded.
select
    s.id, s.name, s.jobs, s.owner, s.priority, s.cpu_millis, s.memory_bytes, s.gpus, s.disk_bytes, s.labels, s.volumes, s.limits,
    s.max_parallel, s.image_pin, s.containers, s.batch, s.pinned, s.dev_mounts is not null as "is_laid!", s.oom_factor is not null as "grows!",
    s.cut_before is not null as "is_cut!", s.secrets, s.timeout_millis, s.preempt,
    case when s.secrets <> '{}' then array(select name from secrets where name = any(s.secrets)) end as stored_secrets,
    case when s.canary > 0 and s.canary_passed_at is null then s.canary end as canary,
    s.paused_at is not null as "paused!", s.pause_reason, s.cancelled_at is not null as "cancelled!",
    s.reuse = 'pending' as waits_for_reuse, s.reuse_note, s.cancel_reason,
    case when s.after <> '{}' and s.after_passed_at is null then array(
        select o.name from unnest(s.after) with ordinality a (id, place) join sweeps o on o.id = a.id
        where o.ended_at is null order by a.place
    ) end as "waits_after?: Vec<String>",
    (select coalesce(sum(attached), 0) from sweep_counts where sweep_id = s.id) as "attached!",
    p.seconds
from unnest($1::uuid[]) w (id)
cross join lateral (select * from sweeps where id = w.id offset 0) s
cross join lateral (
    select avg(extract(epoch from finished_at - started_at))::float8 as seconds
    from (
        select started_at, finished_at from attempts
        where sweep_id = w.id and state = 'succeeded' and started_at is not null
        order by sweep_id desc, job desc
        limit 200
    ) latest
) p
