-- Aliases of images, each with all that it has stood for.
create type alias_change as enum ('promote', 'rollback');

create table image_aliases (
    name text primary key check (length(name) between 1 and 128),
    created_at timestamptz not null default now()
);

-- The change with the highest number holds.
create table image_alias_changes (
    alias text not null references image_aliases on delete cascade,
    number integer not null check (number > 0),
    kind alias_change not null,
    -- As it was named, and what that stood for then.
    image text not null,
    pin text not null,
    -- The promotion whose image it is; a rollback's is an earlier one.
    promotion integer not null check (promotion <= number),
    -- The sweep that tested the image. It may have been removed since.
    gate_sweep uuid,
    gate_name text,
    changed_by text not null,
    created_at timestamptz not null default now(),
    primary key (alias, number)
);

-- What a sweep's manifest named as its image, where that was an alias.
alter table sweeps add column image_alias text;
