-- How far running jobs are, as they say themselves. It is written every few seconds and worth little: the tables are
-- unlogged, so that writing them waits for no disk and fills no log, and a crash of Postgres empties them; agents say again
-- what holds. For the same reason there is no foreign key, whose check would lock, and so write, the row of the attempt.
--
-- What an attempt said last. `points` is how many of its points were seen, of which each `every`th is kept.
create unlogged table progress (
    attempt_id uuid primary key,
    at timestamptz not null default now(),
    fraction float8 check (fraction between 0 and 1),
    done float8,
    total float8,
    note text,
    metrics jsonb,
    points int not null default 0,
    every int not null default 1
) with (fillfactor = 50);

-- Its metrics on the way.
create unlogged table progress_points (
    attempt_id uuid not null,
    number int not null,
    at timestamptz not null,
    done float8,
    metrics jsonb not null,
    primary key (attempt_id, number)
);
