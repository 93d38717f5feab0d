-- Jobs that are stopped for what they have reported so far: by `stop_when` of their manifest, or by a search. A transaction
-- that adds a value to a type may not use it, so the constraints and views name the other values.

alter type job_state add value 'pruned';
alter type reason_kind add value 'pruned';

-- When a job is pruned: an expression over what it reports while it runs. Absent: never by itself.
alter table sweeps add column stop_when text;

alter table jobs
    drop constraint failed_iff_reason,
    -- What was pruned says why, too.
    add constraint reason_iff_failed_or_pruned
        check ((state not in ('queued', 'running', 'succeeded', 'cancelled')) = (reason is not null)),
    drop constraint final_iff_finished,
    add constraint final_iff_finished check ((state not in ('queued', 'running')) = (finished_at is not null)),
    drop constraint metrics_only_of_success,
    -- A job that was pruned keeps what it reported last.
    add constraint metrics_of_success_or_pruned
        check (metrics is null or state not in ('queued', 'running', 'failed', 'cancelled'));

alter table sweep_counts add column pruned int not null default 0;
alter table outbox add column pruned int not null default 0;

-- A statement that moves no job (metrics that are added, say) adds no row.
create or replace function count_moved_jobs() returns trigger language plpgsql as $$
begin
    insert into sweep_counts (sweep_id, queued, running, succeeded, failed, cancelled, pruned, attached, waiting)
    select * from (
        select sweep_id,
            coalesce(sum(one) filter (where state = 'queued'), 0) as queued,
            coalesce(sum(one) filter (where state = 'running'), 0) as running,
            coalesce(sum(one) filter (where state = 'succeeded'), 0) as succeeded,
            coalesce(sum(one) filter (where state = 'failed'), 0) as failed,
            coalesce(sum(one) filter (where state = 'cancelled'), 0) as cancelled,
            coalesce(sum(one) filter (where state = 'pruned'), 0) as pruned,
            coalesce(sum(one) filter (where attached), 0) as attached,
            coalesce(sum(one) filter (where waits), 0) as waiting
        from (
            select sweep_id, state, attached_sweep is not null as attached,
                waits_for is not null and state = 'queued' as waits, 1 as one
            from after
            union all
            select sweep_id, state, attached_sweep is not null, waits_for is not null and state = 'queued', -1 from before
        ) moved
        group by sweep_id
    ) change
    where (queued, running, succeeded, failed, cancelled, pruned, attached, waiting) <> (0, 0, 0, 0, 0, 0, 0, 0);
    return null;
end $$;

-- The best of some sweeps' jobs that have succeeded, of those with these numbers or of all.
create or replace function best_jobs(of_sweeps uuid[], of_jobs int[]) returns setof sweep_best language sql stable as $$
    select distinct on (j.sweep_id) j.sweep_id, m.place::int, m.metric, m.lowest, j.number, v.value
    from (
        select sweep_id, number, metrics from jobs
        where of_jobs is null and sweep_id = any(of_sweeps) and metrics is not null and state = 'succeeded'
        union all
        select j.sweep_id, j.number, j.metrics
        from unnest(of_sweeps, of_jobs) w (sweep_id, number)
        cross join lateral (
            select * from jobs where sweep_id = w.sweep_id and number = w.number offset 0
        ) j
        where of_jobs is not null and j.metrics is not null and j.state = 'succeeded'
    ) j
    join sweeps s on s.id = j.sweep_id
    cross join lateral (
        select r.place, r.metric, r.metric = any(s.minimized) as lowest
        from unnest(s.ranked_by) with ordinality r (metric, place)
        where j.metrics ? r.metric
        order by r.place
        limit 1
    ) m
    cross join lateral (select (j.metrics ->> m.metric)::float8 as value) v
    order by j.sweep_id, m.place, case when m.lowest then v.value else -v.value end, j.number
$$;

create or replace view reports.sweeps as
select
    s.id, s.name, s.owner, s.image, s.image_pin, s.priority, s.jobs,
    case when s.cancelled_at is null then c.queued else 0 end as queued,
    c.running, c.succeeded, c.failed,
    case when s.cancelled_at is null then c.cancelled else c.cancelled + c.queued end as cancelled,
    s.paused_at is not null as paused,
    s.created_at, s.ended_at,
    -- Without what may hold secrets.
    s.manifest::jsonb - 'env' as manifest,
    s.tags, s.note,
    c.pruned
from sweeps s
cross join lateral (
    select
        coalesce(sum(queued), 0)::int as queued, coalesce(sum(running), 0)::int as running,
        coalesce(sum(succeeded), 0)::int as succeeded, coalesce(sum(failed), 0)::int as failed,
        coalesce(sum(cancelled), 0)::int as cancelled, coalesce(sum(pruned), 0)::int as pruned
    from sweep_counts where sweep_id = s.id
) c
where s.removed_at is null;

-- A row for each metric of each job that has succeeded: what a job reported that was pruned is no result, and stands in
-- reports.jobs alone.
create or replace view reports.metrics as
select j.sweep_id, s.name as sweep, j.number as job, m.key as metric, m.value::float8 as value, j.finished_at
from jobs j
join sweeps s on s.id = j.sweep_id
cross join lateral jsonb_each_text(j.metrics) m
where j.metrics is not null and j.state = 'succeeded';
