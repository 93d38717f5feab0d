-- Jobs that ran out of memory are tried again with more of it.
alter table sweeps
    -- Each time so much more. Null: the same again.
    add column oom_factor double precision check (oom_factor > 1),
    add column oom_max_bytes bigint check (oom_max_bytes > 0),
    -- Its jobs have cpus of their own.
    add column pinned boolean not null default false;

-- What a job needs after that, where it is more than its sweep's jobs need.
alter table jobs add column memory_bytes bigint check (memory_bytes > 0);
-- What the attempt was given of it.
alter table attempts add column memory_bytes bigint check (memory_bytes > 0);

-- Not of queued jobs alone: the index of those would seem to do as well.
create index jobs_grown on jobs (sweep_id, memory_bytes, number) where memory_bytes is not null;
