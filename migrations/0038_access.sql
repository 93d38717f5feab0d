-- Who may do what: tokens of people, services and agents, and what they log in to the page with.
create type token_role as enum ('viewer', 'submitter', 'operator', 'admin', 'agent');

create table tokens (
    id text primary key check (id ~ '^[a-z0-9]{12}$'),
    name text not null check (length(name) between 1 and 100),
    role token_role not null,
    -- In whose name it may submit, and whose sweeps it may change where its role has sweeps of its own.
    owners text[] not null check (cardinality(owners) between 1 and 100),
    labels jsonb not null default '{}',
    -- How many more agents may come with it; null: any number.
    uses_left int check (uses_left >= 0),
    -- Argon2id, as a PHC string.
    hash text not null,
    created_by text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz
);

-- The agents that came with a token: each counts once.
create table token_agents (
    token_id text not null references tokens,
    agent_id uuid not null,
    since timestamptz not null default now(),
    primary key (token_id, agent_id)
);

-- Browsers that have logged in, by the SHA-256 of their cookie. One that came with the administrator's token of a file holds
-- until that file has another.
create table page_sessions (
    key bytea primary key check (length(key) = 32),
    token_id text references tokens,
    root_key bytea check (length(root_key) = 32),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    check ((token_id is null) <> (root_key is null))
);
create index page_sessions_by_end on page_sessions (expires_at);

-- What was changed and refused, by whom. Each row's hash covers the row and the hash before it.
create table audit (
    number bigint primary key check (number >= 1),
    at timestamptz not null,
    who text not null,
    role token_role,
    from_address text not null,
    what text not null,
    target text not null,
    before text not null,
    after text not null,
    outcome text not null,
    hash bytea not null check (length(hash) = 32)
);
create index audit_by_time on audit (at);
create index audit_by_who on audit (who, number);

create function keep_audit() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log only grows: % is not allowed', tg_op;
end $$;
create trigger audit_only_grows before update or delete on audit for each row execute function keep_audit();
create trigger audit_is_not_emptied before truncate on audit for each statement execute function keep_audit();
