-- What a sweep may ask of the queue (how often again, how many at once, which first), and what lets a million jobs wait
-- without slowing the others.

alter table sweeps
    -- How often what is tried again, besides the job's own failures (`retries`); for which reasons.
    add column oom_retries int not null default 0 check (oom_retries >= 0),
    add column loss_retries int not null default 10 check (loss_retries >= 0),
    add column preemption_retries int not null default 100 check (preemption_retries >= 0),
    add column retry_on reason_kind[] not null default '{exit,signal,oom,timeout,image,outputs}',
    add column max_parallel int check (max_parallel > 0),
    -- What each running job takes of the cluster's limits, by their names.
    add column limits jsonb not null default '{}',
    -- So many jobs go first; the others wait until all of these have succeeded.
    add column canary int not null default 0 check (canary >= 0),
    add column canary_passed_at timestamptz,
    add column disk_bytes bigint not null default 0 check (disk_bytes >= 0),
    -- While this is set, no job is started.
    add column paused_at timestamptz,
    -- Why it was paused, where nobody asked for it.
    add column pause_reason text not null default '',
    -- Set when the last job has ended; an ended sweep is out of the dispatcher's sight.
    add column ended_at timestamptz;
create index sweeps_open on sweeps (priority desc, created_at, id) where ended_at is null;

alter table jobs
    -- Parameters of a matrix are not written out: `point` tells which combination the job is, the job's number if
    -- null.
    alter column parameters drop not null,
    add column point bigint check (point >= 0),
    add column ooms int not null default 0,
    add column preemptions int not null default 0,
    add constraint parameters_or_point check (parameters is null or point is null);
drop index jobs_by_state;
create index jobs_failed on jobs (sweep_id, number) where state = 'failed';
create index jobs_with_metrics on jobs (sweep_id, number) where metrics is not null;

alter table agents add column disk_bytes bigint not null default 0 check (disk_bytes >= 0);

-- Renewing a lease must not touch an index.
drop index attempts_live_by_expiry;
create index attempts_live_by_sweep on attempts (sweep_id)
    where state in ('leased', 'preparing', 'running', 'publishing');

-- Jobs of a sweep in each state. Every statement that moves jobs adds a row, so that none waits for another; the sum
-- holds. The reconciler folds rows into one.
create table sweep_counts (
    sweep_id uuid not null references sweeps,
    queued int not null default 0,
    running int not null default 0,
    succeeded int not null default 0,
    failed int not null default 0,
    cancelled int not null default 0
);
create index sweep_counts_by_sweep on sweep_counts (sweep_id);
insert into sweep_counts
select sweep_id,
    count(*) filter (where state = 'queued'), count(*) filter (where state = 'running'),
    count(*) filter (where state = 'succeeded'), count(*) filter (where state = 'failed'),
    count(*) filter (where state = 'cancelled')
from jobs
group by sweep_id;
update sweeps s set ended_at = now()
where not exists (select from jobs j where j.sweep_id = s.id and j.state in ('queued', 'running'));

create function count_moved_jobs() returns trigger language plpgsql as $$
begin
    insert into sweep_counts (sweep_id, queued, running, succeeded, failed, cancelled)
    select sweep_id,
        coalesce(sum(one) filter (where state = 'queued'), 0),
        coalesce(sum(one) filter (where state = 'running'), 0),
        coalesce(sum(one) filter (where state = 'succeeded'), 0),
        coalesce(sum(one) filter (where state = 'failed'), 0),
        coalesce(sum(one) filter (where state = 'cancelled'), 0)
    from (
        select sweep_id, state, 1 as one from after
        union all
        select sweep_id, state, -1 from before
    ) moved
    group by sweep_id;
    return null;
end $$;
create trigger jobs_moved after update on jobs
    referencing old table as before new table as after
    for each statement execute function count_moved_jobs();

-- Capacities that jobs of all sweeps share, such as a file server that stands only so many readers.
create table limits (
    name text primary key check (length(name) between 1 and 63),
    capacity int not null check (capacity >= 0)
);

-- Rows that change often keep room beside them, and are cleaned up long before a fifth of a large table is dead.
alter table jobs set (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
alter table attempts set
    (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
alter table sweep_counts set
    (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
