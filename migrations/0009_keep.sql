-- How long what a sweep left is kept, and what has been collected of it.

alter table sweeps
    -- After its end; absent: for ever.
    add column keep_seconds bigint check (keep_seconds > 0),
    -- When its results were given up. From then on nothing that its own attempts left counts.
    add column expired_at timestamptz,
    -- When garbage was last looked for in its directory.
    add column collected_at timestamptz,
    add constraint only_what_is_to_go_expires check (expired_at is null or keep_seconds is not null);
create index sweeps_to_expire on sweeps (ended_at) where keep_seconds is not null and expired_at is null;

-- A sweep's directory in the store is named by its name and the first digits of its id: it must be nobody else's.
create unique index sweeps_by_directory on sweeps (name, left(id::text, 8));
