-- Stored files may be compressed, and agents tell how their outputs reach the store.

create type encoding as enum ('none', 'zstd');

alter table result_files
    -- `size` and `sha256` are the file's own, whatever is stored.
    add column encoding encoding not null default 'none',
    -- Bytes in the store; absent where the file is stored as it is.
    add column stored_size bigint check (stored_size >= 0),
    add constraint stored_size_where_encoded check ((encoding = 'none') = (stored_size is null));
