-- What the machine decides (the memory of a job that names none, how many jobs at once), what an attempt used, images
-- that travel without a registry, and operators who drain agents.

alter type reason_kind add value 'nproc' before 'image';

-- Absent: what the agent gives a job that asks for no memory.
alter table sweeps alter column memory_bytes drop not null;

alter table agents
    -- Jobs at once, whatever they take.
    add column max_jobs int not null default 2147483647 check (max_jobs > 0),
    -- What a job gets that asks for no memory.
    add column job_memory_bytes bigint not null default 1073741824 check (job_memory_bytes > 0),
    -- What is only shown.
    add column about jsonb not null default '{}',
    -- An operator wants no new jobs there.
    add column drained_at timestamptz;

alter table attempts
    -- As the container engine measured it; absent where it ran too short to be measured.
    add column peak_memory_bytes bigint check (peak_memory_bytes >= 0),
    add column cpu_micros bigint check (cpu_micros >= 0),
    add column written_bytes bigint check (written_bytes >= 0),
    add column wall_millis bigint check (wall_millis >= 0);

-- Images that a user has handed in; each is a file in the store, as `docker save` writes it.
create table images (
    -- The id that the engine knows it by: sha256:...
    id text not null check (id ~ '^sha256:[0-9a-f]{64}$'),
    -- One image may bear several.
    name text not null,
    size bigint not null check (size > 0),
    pushed_by text not null,
    pushed_at timestamptz not null default now(),
    primary key (id, name)
);
create index images_by_name on images (name, pushed_at desc);
