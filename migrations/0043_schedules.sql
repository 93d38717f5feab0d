-- Schedules: manifests that are submitted when their rules say so.
create type schedule_catch_up as enum ('none', 'last', 'all');
create type schedule_overlap as enum ('skip', 'queue', 'allow');
create type schedule_outcome as enum ('waiting', 'submitted', 'skipped', 'failed');

create table schedules (
    id uuid primary key,
    name text not null unique check (length(name) between 1 and 63),
    owner text not null,
    -- What the model reads its rule from.
    rule text not null,
    manifest text not null,
    -- Parameters, where the jobs are a list of them.
    rows text[] not null default '{}',
    sweep_name text not null,
    jobs integer not null check (jobs >= 0),
    catch_up schedule_catch_up not null,
    overlap schedule_overlap not null,
    -- The first time of its rule that nothing was done about yet; null: none comes.
    next_at timestamptz,
    paused_at timestamptz,
    created_by text not null,
    created_at timestamptz not null default now()
);
create index schedules_due on schedules (next_at) where paused_at is null;

-- What becomes of each time of a schedule. The key is what makes it one sweep only.
create table schedule_runs (
    schedule_id uuid not null references schedules on delete cascade,
    at_time timestamptz not null,
    outcome schedule_outcome not null,
    why text,
    -- It may have been removed since.
    sweep_id uuid,
    -- Null: the schedule's rule.
    asked_by text,
    -- When it is looked at next, while it waits.
    due_at timestamptz not null default now(),
    created_at timestamptz not null default now(),
    noted_at timestamptz not null default now(),
    primary key (schedule_id, at_time)
);
create index schedule_runs_waiting on schedule_runs (due_at) where outcome = 'waiting';
