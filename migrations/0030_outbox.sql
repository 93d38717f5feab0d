-- Who is told of a sweep, and what is to be told to them, which is written down in the transaction that makes it true.
alter table sweeps
    add column notify text[] not null default '{}';

create type sweep_event as enum ('finished', 'paused');

create table outbox (
    event_id uuid not null,
    -- Of the receiver among the sweep's.
    place int not null check (place > 0),
    primary key (event_id, place),
    sweep_id uuid not null references sweeps,
    event sweep_event not null,
    happened_at timestamptz not null,
    written_at timestamptz not null default now(),
    -- How many jobs were in which state when it happened.
    queued int not null,
    running int not null,
    succeeded int not null,
    failed int not null,
    cancelled int not null,
    -- An address, with its secrets.
    receiver text not null,
    -- Receivers behind one host wait for each other.
    host text not null,
    tries int not null default 0,
    -- When it is tried again; while it is being tried, when another coordinator may.
    due_at timestamptz not null default now(),
    last_error text,
    delivered_at timestamptz,
    given_up_at timestamptz,
    constraint delivered_or_given_up check (num_nonnulls(delivered_at, given_up_at) < 2),
    constraint given_up_for_a_reason check (given_up_at is null or last_error is not null)
);
create index outbox_due on outbox (due_at) where delivered_at is null and given_up_at is null;
create index outbox_of_sweep on outbox (sweep_id);
