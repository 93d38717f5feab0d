-- What the jobs of a family see no data of, and who has looked at it all the same. Rows of sweeps are never deleted, and these
-- refer to them: no look is ever forgotten.
create table holdouts (
    family text primary key check (family <> ''),
    -- The first day that jobs do not see.
    from_date date not null,
    looks int not null check (looks between 0 and 1000),
    -- Null: it is looked for.
    date_column text,
    -- Null: all that are mounted.
    volumes text[] check (cardinality(volumes) > 0),
    -- The sweep that named it first.
    sweep_id uuid not null references sweeps,
    owner text not null,
    set_at timestamptz not null default now()
);

create table looks (
    family text not null references holdouts,
    number int not null check (number between 1 and 1000),
    sweep_id uuid not null unique references sweeps,
    owner text not null,
    why text not null check (length(why) between 1 and 1000),
    spent_at timestamptz not null default now(),
    primary key (family, number)
);

-- The first day that a sweep's jobs do not see; null: they see all.
alter table sweeps add column cut_before date;
