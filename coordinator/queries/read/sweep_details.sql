select manifest::text as "manifest!", name, jobs, owner, priority, cpu_millis, memory_bytes, gpus, disk_bytes, labels, volumes,
    limits, max_parallel, image_pin, containers, batch, pinned, dev_mounts is not null as "is_laid!", oom_factor is not null as "grows!",
    cut_before is not null as "is_cut!", secrets, timeout_millis, preempt,
    case when secrets <> '{}' then array(select x.name from secrets x where x.name = any(sweeps.secrets)) end as stored_secrets,
    case when canary > 0 and canary_passed_at is null then canary end as canary,
    paused_at is not null as "paused!", pause_reason, cancelled_at is not null as "cancelled!",
    reuse = 'pending' as waits_for_reuse, reuse_note, cancel_reason,
    case when sweeps.after <> '{}' and sweeps.after_passed_at is null then (
        select coalesce(array_agg(o.name order by a.place) filter (where o.ended_at is null), '{}')
        from unnest(sweeps.after) with ordinality a (id, place) join sweeps o on o.id = a.id
    ) end as "waits_after?: Vec<String>"
from sweeps where id = $1
