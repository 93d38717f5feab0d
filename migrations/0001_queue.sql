-- The queue: sweeps, their jobs, the attempts at them, the agents that make them, and the results that count.
-- All times are Postgres's own. What must never be is refused here, by constraint, whatever the code does.

create type job_state as enum ('queued', 'running', 'succeeded', 'failed', 'cancelled');
create type attempt_state as enum
    ('leased', 'preparing', 'running', 'publishing', 'succeeded', 'failed', 'cancelled', 'lost');
create type reason_kind as enum ('exit', 'signal', 'oom', 'timeout', 'image', 'volume', 'outputs', 'agent');

create table sweeps (
    id uuid primary key,
    name text not null check (length(name) between 1 and 63),
    owner text not null,
    -- A submit that is sent twice makes one sweep; the fingerprint tells a repeated submit from a reused key.
    idempotency_key text not null unique check (length(idempotency_key) between 1 and 200),
    fingerprint bytea not null check (length(fingerprint) = 32),
    manifest json not null,
    jobs int not null check (jobs between 1 and 10000000),
    priority int not null,
    retries int not null check (retries >= 0),
    -- What each of its jobs needs of an agent, taken out of the manifest for matching.
    cpu_millis bigint not null check (cpu_millis > 0),
    memory_bytes bigint not null check (memory_bytes > 0),
    gpus int not null check (gpus >= 0),
    labels jsonb not null,
    volumes jsonb not null,
    image text not null,
    -- What every job of the sweep runs, written once by the first agent that resolved the image.
    image_pin text,
    created_at timestamptz not null default now(),
    cancelled_at timestamptz
);
create index sweeps_by_name on sweeps (name, created_at desc);
create index sweeps_by_age on sweeps (created_at desc);

create table jobs (
    sweep_id uuid not null references sweeps,
    number int not null check (number >= 0),
    state job_state not null default 'queued',
    -- json, not jsonb: the order of the parameters is the user's.
    parameters json not null,
    -- Attempts made; of these, those that failed by the job's own doing, and those that were lost.
    attempts int not null default 0,
    failures int not null default 0,
    losses int not null default 0,
    -- Not before this time: a job that failed waits before it is tried again.
    ready_at timestamptz not null default now(),
    finished_at timestamptz,
    metrics jsonb,
    reason reason_kind,
    reason_code int,
    reason_message text,
    primary key (sweep_id, number),
    constraint failed_iff_reason check ((state = 'failed') = (reason is not null)),
    constraint final_iff_finished check
        ((state in ('succeeded', 'failed', 'cancelled')) = (finished_at is not null)),
    constraint metrics_only_of_success check (metrics is null or state = 'succeeded')
);
create index jobs_queued on jobs (sweep_id, number) where state = 'queued';
create index jobs_by_state on jobs (sweep_id, state);

create table agents (
    id uuid primary key,
    name text not null,
    -- Rises with every connection; what an older session says is refused.
    session bigint not null,
    cpu_millis bigint not null,
    memory_bytes bigint not null,
    gpus int not null,
    labels jsonb not null,
    volumes jsonb not null,
    version text not null,
    engine text not null,
    -- Why it can't run containers now; empty when it can.
    unhealthy text not null default '',
    draining boolean not null default false,
    last_seen_at timestamptz not null default now()
);

create table attempts (
    -- The id is the lease's fencing token: every write that an agent causes names it.
    id uuid primary key,
    sweep_id uuid not null,
    job int not null,
    number int not null check (number >= 1),
    agent_id uuid not null references agents,
    state attempt_state not null default 'leased',
    lease_expires_at timestamptz,
    leased_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    image_id text,
    -- What it waits for, for people.
    note text not null default '',
    reason reason_kind,
    reason_code int,
    reason_message text,
    foreign key (sweep_id, job) references jobs,
    unique (sweep_id, job, number),
    constraint leased_iff_live check
        ((state in ('leased', 'preparing', 'running', 'publishing')) = (lease_expires_at is not null)),
    constraint ended_iff_finished check
        ((state in ('succeeded', 'failed', 'cancelled', 'lost')) = (finished_at is not null))
);
-- At most one attempt of a job holds a live lease.
create unique index attempts_one_live on attempts (sweep_id, job)
    where state in ('leased', 'preparing', 'running', 'publishing');
create index attempts_live_by_agent on attempts (agent_id)
    where state in ('leased', 'preparing', 'running', 'publishing');
create index attempts_live_by_expiry on attempts (lease_expires_at)
    where state in ('leased', 'preparing', 'running', 'publishing');

-- At most one attempt's outputs are ever published for a job: by the primary key.
create table results (
    sweep_id uuid not null,
    job int not null,
    attempt_id uuid not null unique references attempts,
    published_at timestamptz not null default now(),
    -- False until result.json stands in the store; a coordinator that died in between is made good by another.
    written boolean not null default false,
    primary key (sweep_id, job),
    foreign key (sweep_id, job) references jobs
);
create index results_unwritten on results (published_at) where not written;

create table result_files (
    sweep_id uuid not null,
    job int not null,
    path text not null check (length(path) between 1 and 1024),
    size bigint not null check (size >= 0),
    sha256 bytea not null check (length(sha256) = 32),
    primary key (sweep_id, job, path),
    foreign key (sweep_id, job) references results
);

-- When a coordinator was last there to renew leases. A lease is taken away only if one was there all its time.
create table coordinators (
    id uuid primary key,
    stamped_at timestamptz not null default now()
);
