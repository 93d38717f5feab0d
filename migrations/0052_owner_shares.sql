-- How many containers each owner had running lately, on average, for fair shares that remember.
create table owner_shares (
    owner text primary key,
    containers double precision not null check (containers >= 0),
    noted_at timestamptz not null default now()
);
