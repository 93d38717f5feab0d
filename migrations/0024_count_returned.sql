-- Attempts that are handed back before anything of them has started are none to their users, and are counted apart.

alter table attempts
    drop constraint ended_iff_finished,
    add constraint ended_iff_finished
        check ((state in ('succeeded', 'failed', 'cancelled', 'lost', 'returned')) = (finished_at is not null));

alter table jobs
    -- Of the attempts made, those that were handed back before their containers had started.
    add column returned int not null default 0,
    add constraint returned_are_attempts check (returned between 0 and attempts);

create or replace view reports.jobs as
select
    j.sweep_id, s.name as sweep, j.number as job,
    case when s.cancelled_at is not null and j.state = 'queued' then 'cancelled' else j.state::text end as state,
    coalesce(j.parameters::jsonb, r.parameters) as parameters,
    j.metrics,
    j.attempts - j.returned as attempts,
    j.reason::text as reason, j.reason_code, j.reason_message,
    g.name as agent,
    a.started_at, a.finished_at as ended_at, j.finished_at,
    a.peak_memory_bytes, a.cpu_micros / 1e6::float8 as cpu_seconds, a.written_bytes,
    a.wall_millis / 1e3::float8 as wall_seconds,
    s.image, s.image_pin, a.image_id
from jobs j
join sweeps s on s.id = j.sweep_id
left join results r on r.sweep_id = j.sweep_id and r.job = j.number
left join attempts a on a.sweep_id = j.sweep_id and a.job = j.number and a.number = j.attempts
left join agents g on g.id = a.agent_id;
