-- An open sweep takes more jobs until it is closed. Its `jobs` are the room that it has, by which its directories are named;
-- `open_jobs` is how many it has got.
alter table sweeps
    add column open_jobs int check (open_jobs between 0 and jobs),
    add column closed_at timestamptz,
    add constraint closed_was_open check (closed_at is null or open_jobs is not null);

-- What was added to open sweeps, so that what is sent twice is added once.
create table additions (
    sweep_id uuid not null references sweeps,
    key text not null check (length(key) between 1 and 200),
    fingerprint bytea not null check (length(fingerprint) = 32),
    first_job int not null check (first_job >= 0),
    jobs int not null check (jobs >= 1),
    primary key (sweep_id, key)
);

create or replace function note_sweep() returns trigger language plpgsql as $$
declare
    change text;
begin
    change := case
        when tg_op = 'INSERT' then 'queued'
        when new.removed_at is not null and old.removed_at is null then 'removed'
        when new.ended_at is not null and old.ended_at is null then 'finished'
        when new.cancelled_at is not null and old.cancelled_at is null then 'cancelled'
        when new.closed_at is not null and old.closed_at is null then 'closed'
        when new.ended_at is null and old.ended_at is not null then 'reopened'
        when new.paused_at is not null and old.paused_at is null then 'paused'
        else 'resumed'
    end;
    insert into events (kind, sweep_id, body)
    values ('sweep', new.id, json_build_object('change', change, 'name', new.name, 'owner', new.owner));
    return null;
end $$;
drop trigger sweeps_changed on sweeps;
create trigger sweeps_changed after update on sweeps for each row
    when (
        (new.removed_at is not null and old.removed_at is null)
        or (new.ended_at is null) <> (old.ended_at is null)
        or (new.cancelled_at is not null and old.cancelled_at is null)
        or (new.closed_at is not null and old.closed_at is null)
        or (new.paused_at is null) <> (old.paused_at is null)
    )
    execute function note_sweep();
