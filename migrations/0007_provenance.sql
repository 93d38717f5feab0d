-- What it takes to know later how a result came about: what volumes held, what an attempt was given, what is in an image.

alter table agents
    -- Of the volumes whose owner asked for it: 64 hexadecimal digits by name, empty while they are not known.
    add column volume_fingerprints jsonb not null default '{}';

alter table attempts
    -- By the names of the volumes that it mounted: 64 hexadecimal digits, or `changed` for one that changed meanwhile.
    -- Absent where no owner asked for it.
    add column volume_fingerprints jsonb,
    -- Threads, memory, time zone, versions: what is not the same everywhere.
    add column given jsonb;

-- What is in an image besides its files' bytes: the versions of what its programs use. An image never changes.
create table image_descriptions (
    image_id text primary key check (image_id ~ '^sha256:[0-9a-f]{64}$'),
    description jsonb not null,
    described_at timestamptz not null default now()
);
