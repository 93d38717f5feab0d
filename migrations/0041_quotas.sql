-- What each owner may have and do. A quota that an owner has not of its own is that of the row without a name; one that is not
-- there either does not bind. The greatest number stands for none.
create table quotas (
    owner text primary key,
    queued bigint check (queued >= 0),
    running bigint check (running >= 0),
    cpu_millis bigint check (cpu_millis >= 0),
    submits_per_minute bigint check (submits_per_minute >= 0),
    bytes bigint check (bytes >= 0)
);
create index quotas_of_cpus on quotas (owner) where cpu_millis is not null;

-- What the published files of ended sweeps take in the store; it holds for the end that it was counted at. Only sweeps of
-- owners with such a quota are counted, when they submit.
create table result_sizes (
    sweep_id uuid primary key references sweeps,
    bytes bigint not null check (bytes >= 0),
    ended_at timestamptz not null
);

create index sweeps_by_owner on sweeps (owner, created_at desc);
create index sweeps_open_by_owner on sweeps (owner) where ended_at is null;
