-- What happens to sweeps, jobs, attempts and agents, for those who watch. Triggers note it in the transaction that does it,
-- so nothing that happens is left out and nothing is told that did not. Events are for watching, not for records: the
-- reconciler removes old ones.
create table events (
    -- Events are read in the order of their transactions' numbers, and only those of transactions that are older than any
    -- that is open: nothing comes later that would stand before them.
    xact xid8 not null default pg_current_xact_id(),
    id bigint generated always as identity,
    at timestamptz not null default now(),
    kind text not null check (kind in ('sweep', 'jobs', 'attempts', 'agent')),
    sweep_id uuid,
    body json not null,
    primary key (xact, id)
);
alter table events set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.5);

-- A statement that moves no job (metrics that are added, say) adds no row. One that moves more than 10,000 jobs of a sweep
-- to the same state says only how many.
create function note_moved_jobs() returns trigger language plpgsql as $$
begin
    insert into events (kind, sweep_id, body)
    select 'jobs', sweep_id, json_build_object(
        'state', state,
        'count', count(*),
        'jobs', case when count(*) <= 10000 then to_json(array_agg(number order by number)) end
    )
    from (
        select sweep_id, number, state from after
        except
        select sweep_id, number, state from before
    ) moved
    group by sweep_id, state;
    return null;
end $$;
create trigger jobs_told after update on jobs
    referencing old table as before new table as after
    for each statement execute function note_moved_jobs();

create function note_new_attempts() returns trigger language plpgsql as $$
begin
    insert into events (kind, sweep_id, body)
    select 'attempts', sweep_id, json_build_object(
        'state', state,
        'jobs', array_agg(job order by job),
        'attempts', array_agg(number order by job),
        'agents', array_agg(agent_id order by job)
    )
    from after
    group by sweep_id, state;
    return null;
end $$;
create trigger attempts_made after insert on attempts
    referencing new table as after
    for each statement execute function note_new_attempts();

create function note_moved_attempts() returns trigger language plpgsql as $$
begin
    insert into events (kind, sweep_id, body)
    select 'attempts', a.sweep_id, json_build_object(
        'state', a.state,
        'jobs', array_agg(a.job order by a.job),
        'attempts', array_agg(a.number order by a.job),
        'agents', array_agg(a.agent_id order by a.job)
    )
    from after a
    join before b on b.id = a.id and b.state <> a.state
    group by a.sweep_id, a.state;
    return null;
end $$;
create trigger attempts_moved after update on attempts
    referencing old table as before new table as after
    for each statement execute function note_moved_attempts();

create function note_sweep() returns trigger language plpgsql as $$
declare
    change text;
begin
    change := case
        when tg_op = 'INSERT' then 'queued'
        when new.removed_at is not null and old.removed_at is null then 'removed'
        when new.ended_at is not null and old.ended_at is null then 'finished'
        when new.cancelled_at is not null and old.cancelled_at is null then 'cancelled'
        when new.ended_at is null and old.ended_at is not null then 'reopened'
        when new.paused_at is not null and old.paused_at is null then 'paused'
        else 'resumed'
    end;
    insert into events (kind, sweep_id, body)
    values ('sweep', new.id, json_build_object('change', change, 'name', new.name, 'owner', new.owner));
    return null;
end $$;
create trigger sweeps_made after insert on sweeps for each row execute function note_sweep();
create trigger sweeps_changed after update on sweeps for each row
    when (
        (new.removed_at is not null and old.removed_at is null)
        or (new.ended_at is null) <> (old.ended_at is null)
        or (new.cancelled_at is not null and old.cancelled_at is null)
        or (new.paused_at is null) <> (old.paused_at is null)
    )
    execute function note_sweep();

create function note_agent() returns trigger language plpgsql as $$
declare
    change text;
begin
    change := case
        when tg_op = 'INSERT' or new.session <> old.session then 'connected'
        when new.disconnected_at is not null and old.disconnected_at is null then 'disconnected'
        when new.drained_at is not null and old.drained_at is null then 'drained'
        when new.drained_at is null and old.drained_at is not null then 'undrained'
        when new.unhealthy <> '' then 'unhealthy'
        else 'healthy'
    end;
    insert into events (kind, body)
    values ('agent', json_build_object('change', change, 'agent', new.id, 'name', new.name, 'why', new.unhealthy));
    return null;
end $$;
create trigger agents_made after insert on agents for each row execute function note_agent();
create trigger agents_changed after update on agents for each row
    when (
        new.session <> old.session
        or (new.disconnected_at is not null and old.disconnected_at is null)
        or (new.drained_at is null) <> (old.drained_at is null)
        or new.unhealthy <> old.unhealthy
    )
    execute function note_agent();
