-- What pages show that was not kept: when a container had stopped, the best job of each sweep, and how the fleet and the
-- sweeps stood a while ago.

-- When an attempt's container had stopped and its outputs began to be sent; absent where its agent did not say so.
alter table attempts
    add column stopped_at timestamptz;

-- The metrics by which a sweep's jobs are ranked, the first one that a job reports: those that its manifest has a goal for,
-- then the usual ones (as `main_metric` of bt-documents has them).
create function metrics_of_rank(manifest json) returns text[] language sql immutable as $$
    select array(
        select key from json_object_keys(case json_typeof(manifest -> 'goals') when 'object' then manifest -> 'goals' end) key
        order by key collate "C"
    ) || '{sharpe,sharpe_ratio,sortino,cagr}'
$$;

-- Those whose lowest value is the best.
create function metrics_to_minimize(manifest json) returns text[] language sql immutable as $$
    select array(
        select key
        from json_each_text(case json_typeof(manifest -> 'goals') when 'object' then manifest -> 'goals' end)
        where value = 'minimize'
    )
$$;

alter table sweeps
    add column ranked_by text[] not null default '{sharpe,sharpe_ratio,sortino,cagr}',
    add column minimized text[] not null default '{}';

update sweeps set ranked_by = metrics_of_rank(manifest), minimized = metrics_to_minimize(manifest)
where json_typeof(manifest -> 'goals') = 'object';

-- The best job of each sweep, so that a list looks at no jobs. Sweeps are never deleted, so that nothing refers to them:
-- the check would lock their rows.
create table sweep_best (
    sweep_id uuid primary key,
    -- Of the metric in the sweep's list: a job that reports an earlier one is better than all that do not.
    place int not null,
    metric text not null,
    lowest boolean not null,
    job int not null,
    value float8 not null
);

-- The best of some sweeps' jobs, of those with these numbers or of all.
create function best_jobs(of_sweeps uuid[], of_jobs int[]) returns setof sweep_best language sql stable as $$
    select distinct on (j.sweep_id) j.sweep_id, m.place::int, m.metric, m.lowest, j.number, v.value
    from (
        select sweep_id, number, metrics from jobs
        where of_jobs is null and sweep_id = any(of_sweeps) and metrics is not null
        union all
        select j.sweep_id, j.number, j.metrics
        from unnest(of_sweeps, of_jobs) w (sweep_id, number)
        cross join lateral (
            select * from jobs where sweep_id = w.sweep_id and number = w.number offset 0
        ) j
        where of_jobs is not null and j.metrics is not null
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

-- Keeps the best of what has been reported. Rows are written in the sweeps' order, and only where a better job has come, so
-- that hardly ever one waits for another.
create function keep_best() returns trigger language plpgsql as $$
declare
    again uuid[];
begin
    if not exists (select from after where metrics is not null) then
        return null;
    end if;
    -- Where the best job says something else now, all jobs are looked at.
    again := array(
        select k.sweep_id from sweep_best k
        join after a on a.sweep_id = k.sweep_id and a.number = k.job
        where (a.metrics ->> k.metric)::float8 is distinct from k.value
        order by k.sweep_id
    );
    if again <> '{}' then
        delete from sweep_best where sweep_id = any(again);
    end if;
    insert into sweep_best as kept (sweep_id, place, metric, lowest, job, value)
    select b.* from (
        select * from best_jobs(again, null)
        union all
        select n.* from (
            select array_agg(sweep_id) as sweeps, array_agg(number) as numbers
            from after where metrics is not null and sweep_id <> all(again)
        ) a
        cross join lateral best_jobs(a.sweeps, coalesce(a.numbers, '{}')) n
    ) b
    left join sweep_best k on k.sweep_id = b.sweep_id
    where k.sweep_id is null
        or (b.place, case when b.lowest then b.value else -b.value end, b.job)
            < (k.place, case when k.lowest then k.value else -k.value end, k.job)
    order by b.sweep_id
    on conflict (sweep_id) do update
    set place = excluded.place, metric = excluded.metric, lowest = excluded.lowest,
        job = excluded.job, value = excluded.value
    where (excluded.place, case when excluded.lowest then excluded.value else -excluded.value end, excluded.job)
        < (kept.place, case when kept.lowest then kept.value else -kept.value end, kept.job);
    return null;
end $$;
create trigger best_kept after update on jobs
    referencing new table as after for each statement execute function keep_best();

insert into sweep_best
select * from best_jobs(array(select id from sweeps where removed_at is null), null);

-- How many jobs of an open sweep had ended, minute by minute, of the last minutes.
create table sweep_samples (
    sweep_id uuid not null,
    at timestamptz not null,
    ended int not null,
    primary key (sweep_id, at)
);

-- What agents offered and what of it was used, minute by minute, of the last day.
create table fleet_samples (
    at timestamptz primary key,
    -- Those that take jobs, and those that are connected.
    ready int not null,
    connected int not null,
    running int not null,
    cpu_millis bigint not null,
    cpu_millis_used bigint not null,
    memory_bytes bigint not null,
    memory_bytes_used bigint not null,
    gpus int not null,
    gpus_used int not null
);
