-- Secrets of jobs. Postgres has them encrypted alone, by a key that it never sees.
create table secrets (
    name text primary key check (name ~ '^[A-Za-z_][A-Za-z0-9_]{0,63}$'),
    -- Whose sweeps may name it; '*': everybody's. Those of operators may name any.
    owners text[] not null default '{}' check (cardinality(owners) <= 100),
    key_id text not null check (key_id ~ '^[0-9a-f]{16}$'),
    -- AES-256-GCM, which authenticates name and owners too.
    nonce bytea not null check (length(nonce) = 12),
    sealed bytea not null check (length(sealed) > 16),
    set_by text not null,
    set_at timestamptz not null default now(),
    last_used_at timestamptz
);

-- What a sweep's jobs ask for, and whether an operator has submitted it.
alter table sweeps
    add column secrets text[] not null default '{}',
    add column any_secret boolean not null default false;

-- The names of those that an agent holds; null: jobs can have no secrets there.
alter table agents
    add column secrets text[],
    add column line_is_private boolean not null default false;
