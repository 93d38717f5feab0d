-- What attempts say of how far they are, if they are live and the session is their agent's; others change nothing. No
-- row of another table is locked: an attempt that ends meanwhile is shown without it.
--
-- A point is what has metrics and is not the point before it. Each `every`th is kept; when there are as many as may be,
-- every second one of them goes, so that the series keeps its shape.
-- The state is written so that the indexes of live attempts seem to be of no help: each of these is found by its id.
with told as (
    insert into progress as p (attempt_id, fraction, done, total, note, metrics, points)
    select s.attempt_id, s.fraction, s.done, s.total, s.note, s.metrics, case when s.metrics is null then 0 else 1 end
    from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::float8[], $5::float8[], $6::float8[], $7::text[], $8::jsonb[])
        as s (attempt_id, agent_id, session, fraction, done, total, note, metrics)
    join attempts a on a.id = s.attempt_id and a.agent_id = s.agent_id
        and coalesce(a.state in ('leased', 'preparing', 'running', 'publishing'), false)
    join agents g on g.id = s.agent_id and g.session = s.session
    order by s.attempt_id
    on conflict (attempt_id) do update
    set at = now(), fraction = excluded.fraction, done = excluded.done, total = excluded.total, note = excluded.note,
        metrics = excluded.metrics,
        points = p.points
            + (excluded.metrics is not null and (p.metrics, p.done) is distinct from (excluded.metrics, excluded.done))::int,
        every = case
            when excluded.metrics is not null and (p.metrics, p.done) is distinct from (excluded.metrics, excluded.done)
                and p.points >= $9 * p.every
            then 2 * p.every else p.every
        end
    where (p.fraction, p.done, p.total, p.note, p.metrics)
        is distinct from (excluded.fraction, excluded.done, excluded.total, excluded.note, excluded.metrics)
    returning p.attempt_id, p.at, p.done, p.metrics, p.points, p.every
), thinned as (
    delete from progress_points d
    using told t
    where d.attempt_id = t.attempt_id and t.every > 1 and d.number % t.every <> 0
        and t.points = $9 / 2 * t.every + 1
), kept as (
    insert into progress_points (attempt_id, number, at, done, metrics)
    select attempt_id, points - 1, at, done, metrics from told
    where metrics is not null and (points - 1) % every = 0
    on conflict do nothing
)
select attempt_id from told
