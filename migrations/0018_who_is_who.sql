-- Which store the queue's results are in, and how far the two have come together: each coordinator's start, and a loop
-- after it, raises the generation here and then writes it into the store. A copy of either that is put back is behind.
create table queue_store (
    -- There is one row at most.
    one boolean primary key default true check (one),
    queue_id uuid not null default gen_random_uuid(),
    store_id uuid not null,
    location text not null,
    generation bigint not null default 0 check (generation >= 0),
    -- The latest generation that was seen in the store.
    confirmed bigint not null default 0 check (confirmed >= 0)
);

-- Which machine and state directory an agent's session is from, and whether its stream has ended. Another holder of the same
-- id is refused while the session is alive; `contested_by` says who that was, for people.
alter table agents
    add column place text not null default '',
    add column disconnected_at timestamptz,
    add column contested_at timestamptz,
    add column contested_by text,
    -- Sessions that took over from a living one without saying where they are from, and the latest of them.
    add column takeovers int not null default 0,
    add column taken_over_at timestamptz;
