-- Layers of pushed images: each is in the store once, whatever images have it.

create table layers (
    sha256 bytea primary key check (octet_length(sha256) = 32),
    size bigint not null check (size > 0),
    -- Its file in the store. No other upload of the same layer ever had this name.
    stored_as text not null,
    stored_at timestamptz not null default now()
);

-- How an image's archive is put together. One without a row was pushed before this, and is a single file.
create table image_archives (
    id text primary key check (id ~ '^sha256:[0-9a-f]{64}$'),
    -- The file in the store that has all but the layers. No other upload of the same image ever had this name.
    rest text not null,
    -- In order: {"rest": BYTES} of that file, or {"layer": SHA256 in hexadecimal digits}.
    parts jsonb not null
);

create table image_layers (
    id text not null references image_archives (id) on delete cascade,
    sha256 bytea not null references layers (sha256),
    primary key (id, sha256)
);
create index image_layers_by_layer on image_layers (sha256);
