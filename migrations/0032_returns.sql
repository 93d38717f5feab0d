-- By what sweeps are judged: which belong together, and what their jobs returned period by period.

-- The idea that a sweep tests. Sweeps of the same family are counted together. Earlier ones get what a sweep gets that names
-- none: the repository of its image and its command.
alter table sweeps add family text;
update sweeps set family = left(btrim(concat_ws(' ',
    regexp_replace(regexp_replace(manifest ->> 'image', '@.*$', ''), ':[^:/]*$', ''),
    (select string_agg(regexp_replace(word, '[[:cntrl:]]', ' ', 'g'), ' ' order by place)
     from json_array_elements_text(manifest -> 'command') with ordinality as c (word, place))
)), 200);
update sweeps set family = name where family is null or family = '';
alter table sweeps alter family set not null;
alter table sweeps alter family set default '';
create index sweeps_by_family on sweeps (family, created_at);

-- The times of returns, which the jobs of a sweep share: 8 bytes each, little-endian, seconds since 1970. `id` is the
-- beginning of their SHA-256.
create table calendars (
    sweep_id uuid not null references sweeps,
    id bytea not null check (length(id) = 16),
    times bytea not null check (length(times) % 8 = 0),
    primary key (sweep_id, id)
);

-- What an attempt that succeeded returned: 8 bytes each, little-endian floating point, NaN for none. Results that are reused
-- share those of their attempt.
create table returns (
    attempt_id uuid primary key references attempts,
    sweep_id uuid not null,
    calendar bytea not null,
    returns bytea not null check (length(returns) % 8 = 0),
    foreign key (sweep_id, calendar) references calendars
);
create index returns_by_sweep on returns (sweep_id);
-- Noise can't be compressed.
alter table returns alter returns set storage external;
