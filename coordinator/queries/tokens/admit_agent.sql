-- Counts an agent that comes with a token, the first time that it does. No row where the token's uses are used up.
with known as (
    select 1 from token_agents where token_id = $1 and agent_id = $2
), used as (
    update tokens set uses_left = uses_left - 1
    where id = $1 and not exists (select 1 from known) and coalesce(uses_left > 0, true)
    returning 1
), noted as (
    insert into token_agents (token_id, agent_id)
    select $1, $2 where exists (select 1 from used)
    on conflict do nothing
)
select labels from tokens where id = $1 and (exists (select 1 from known) or exists (select 1 from used))
