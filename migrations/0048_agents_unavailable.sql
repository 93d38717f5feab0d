-- Why the owner of an agent's machine does not lend it now; empty while it is available.
alter table agents add column unavailable text not null default '';

create or replace function note_agent() returns trigger language plpgsql as $$
declare
    change text;
    why text := new.unhealthy;
begin
    change := case
        when tg_op = 'INSERT' or new.session <> old.session then 'connected'
        when new.disconnected_at is not null and old.disconnected_at is null then 'disconnected'
        when new.drained_at is not null and old.drained_at is null then 'drained'
        when new.drained_at is null and old.drained_at is not null then 'undrained'
        when new.unhealthy = old.unhealthy and new.unavailable <> '' then 'unavailable'
        when new.unhealthy = old.unhealthy then 'available'
        when new.unhealthy <> '' then 'unhealthy'
        else 'healthy'
    end;
    if change in ('unavailable', 'available') then
        why := new.unavailable;
    end if;
    insert into events (kind, body)
    values ('agent', json_build_object('change', change, 'agent', new.id, 'name', new.name, 'why', why));
    return null;
end $$;

drop trigger agents_changed on agents;
create trigger agents_changed after update on agents for each row
    when (
        new.session <> old.session
        or (new.disconnected_at is not null and old.disconnected_at is null)
        or (new.drained_at is null) <> (old.drained_at is null)
        or new.unhealthy <> old.unhealthy
        or new.unavailable <> old.unavailable
    )
    execute function note_agent();
