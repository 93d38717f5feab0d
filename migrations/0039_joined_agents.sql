-- Agents that have a certificate of their own.
create table joined_agents (
    agent_id uuid primary key,
    name text not null,
    -- The SHA-256 of its public key: whoever says later that it is this agent has the same one.
    key_hash bytea not null check (length(key_hash) = 32),
    -- What it came with.
    token_id text not null references tokens,
    labels jsonb not null,
    joined_at timestamptz not null default now(),
    -- When the latest of its certificates ends.
    expires_at timestamptz not null,
    revoked_at timestamptz
);
create index joined_agents_by_end on joined_agents (expires_at);
