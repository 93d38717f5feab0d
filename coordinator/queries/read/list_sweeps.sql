-- Sweeps, the newest first: one ($1), or those that have not finished, or all ($2); of some states ($4), an owner ($5), a
-- pattern of names ($6), from a time on ($7), with all of these tags ($8). A cancelled sweep's queued jobs are as good as
-- cancelled: none of them starts any more.
with counted as (
    select
        s.*,
        s.open_jobs is not null and s.closed_at is null as open,
        case when s.cancelled_at is null then c.queued else 0 end as queued,
        c.running, c.succeeded, c.failed, c.pruned,
        case when s.cancelled_at is null then c.cancelled else c.cancelled + c.queued end as cancelled_jobs
    from sweeps s
    cross join lateral (
        select
            coalesce(sum(queued), 0) as queued, coalesce(sum(running), 0) as running,
            coalesce(sum(succeeded), 0) as succeeded, coalesce(sum(failed), 0) as failed,
            coalesce(sum(cancelled), 0) as cancelled, coalesce(sum(pruned), 0) as pruned
        from sweep_counts where sweep_id = s.id
    ) c
    where ($1::uuid is null or s.id = $1) and s.removed_at is null
        and ($2 or s.ended_at is null)
        and ($5::text is null or s.owner = $5)
        and ($6::text is null or s.name like $6)
        and ($7::timestamptz is null or s.created_at >= $7)
        and s.tags @> $8::text[]
), stated as (
    select *,
        -- As `words::sweep_state` of the client has it.
        case
            when queued > 0 and paused_at is not null then 'paused'
            when queued + running = 0 and open then 'open'
            when queued + running = 0 and failed > 0 then 'failed'
            when queued + running = 0 and cancelled_jobs > 0 then 'cancelled'
            when queued + running = 0 then 'succeeded'
            when running = 0 and succeeded + failed + cancelled_jobs + pruned = 0 then 'queued'
            else 'running'
        end as state
    from counted
)
select
    id, name, owner, image, image_pin, image_alias, dev_mounts, created_at, priority,
    cancelled_at is not null as "cancelled!", paused_at is not null as "paused!", pause_reason,
    queued as "queued!", running as "running!", succeeded as "succeeded!", failed as "failed!",
    cancelled_jobs as "cancelled_jobs!", pruned as "pruned!",
    -- The reconciler writes it down a moment after the last job has ended.
    coalesce(
        ended_at, cancelled_at,
        case when queued + running = 0 and not open then (select max(finished_at) from jobs j where j.sweep_id = s.id) end
    ) as finished_at,
    canary, canary_passed_at is not null as "canary_passed!", cancel_reason,
    case when s.after <> '{}' and s.after_passed_at is null then array(
        select o.name from unnest(s.after) with ordinality a (id, place) join sweeps o on o.id = a.id order by a.place
    ) else '{}' end as "waits_for!: Vec<String>",
    ended_at + keep_seconds * interval '1 second' as kept_until, expired_at is not null as "expired!",
    open as "open!", tags, note, containers, containers_why, left_out,
    b.metric as "best_metric?", b.value as "best_value?", b.job as "best_job?",
    s.cut_before::text as cut_before, k.number as "look?", k.looks as "looks?",
    p.seconds as "seconds?", p.ended as "ended?",
    (select count(*) from sweeps o where o.name = s.name and o.removed_at is null) as "same_name!",
    not exists (
        select from sweeps o
        where o.name = s.name and o.removed_at is null and (o.created_at, o.id) > (s.created_at, s.id)
    ) as "is_newest!"
from (
    select * from stated
    where ($2 or queued + running > 0 or open)
        and (cardinality($4::text[]) = 0 or state = any($4))
    order by created_at desc
    limit $3
) s
left join sweep_best b on b.sweep_id = s.id
left join (select l.sweep_id, l.number, h.looks from looks l join holdouts h on h.family = l.family) k on k.sweep_id = s.id
-- How many of its jobs had ended a few minutes ago, or when it was submitted.
left join lateral (
    select extract(epoch from now() - at)::float8 as seconds, ended from (
        select at, ended from sweep_samples where sweep_id = s.id and at > now() - interval '6 minutes'
        union all
        select s.created_at, 0 where s.created_at > now() - interval '6 minutes'
    ) known
    order by at
    limit 1
) p on true
order by created_at desc
