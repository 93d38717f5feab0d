-- What other programs may read: views of their own schema, whose columns stay as they are while the tables below them
-- change. Metrics that are added to a published result.

alter table results
    -- Rises when what `result.json` says changes; a document that was made from an older one is written again.
    add column revision int not null default 0,
    -- A job's parameters where the job itself has only its point in the matrix: for those who read with SQL.
    add column parameters jsonb;

create schema reports;
comment on schema reports is 'Read-only views for reports and dashboards; docs/REPORTS.md';

create view reports.sweeps as
select
    s.id, s.name, s.owner, s.image, s.image_pin, s.priority, s.jobs,
    case when s.cancelled_at is null then c.queued else 0 end as queued,
    c.running, c.succeeded, c.failed,
    case when s.cancelled_at is null then c.cancelled else c.cancelled + c.queued end as cancelled,
    s.paused_at is not null as paused,
    s.created_at, s.ended_at,
    -- Without what may hold secrets.
    s.manifest::jsonb - 'env' as manifest
from sweeps s
cross join lateral (
    select
        coalesce(sum(queued), 0)::int as queued, coalesce(sum(running), 0)::int as running,
        coalesce(sum(succeeded), 0)::int as succeeded, coalesce(sum(failed), 0)::int as failed,
        coalesce(sum(cancelled), 0)::int as cancelled
    from sweep_counts where sweep_id = s.id
) c;

create view reports.jobs as
select
    j.sweep_id, s.name as sweep, j.number as job,
    case when s.cancelled_at is not null and j.state = 'queued' then 'cancelled' else j.state::text end as state,
    coalesce(j.parameters::jsonb, r.parameters) as parameters,
    j.metrics,
    j.attempts,
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

-- A row for each metric of each job: what most charts want.
create view reports.metrics as
select j.sweep_id, s.name as sweep, j.number as job, m.key as metric, m.value::float8 as value, j.finished_at
from jobs j
join sweeps s on s.id = j.sweep_id
cross join lateral jsonb_each_text(j.metrics) m
where j.metrics is not null;

-- A row for each parameter of each job whose parameters are known here.
create view reports.parameters as
select j.sweep_id, s.name as sweep, j.number as job, p.key as parameter, p.value
from jobs j
join sweeps s on s.id = j.sweep_id
left join results r on r.sweep_id = j.sweep_id and r.job = j.number
cross join lateral jsonb_each_text(coalesce(j.parameters::jsonb, r.parameters)) p;

create view reports.attempts as
select
    a.id, a.sweep_id, s.name as sweep, a.job, a.number as attempt, g.name as agent, a.agent_id, a.state::text as state,
    a.leased_at, a.started_at, a.finished_at,
    a.reason::text as reason, a.reason_code, a.reason_message,
    a.peak_memory_bytes, a.cpu_micros / 1e6::float8 as cpu_seconds, a.written_bytes,
    a.wall_millis / 1e3::float8 as wall_seconds,
    a.image_id
from attempts a
join sweeps s on s.id = a.sweep_id
join agents g on g.id = a.agent_id;

create view reports.files as
select
    f.sweep_id, s.name as sweep, f.job, a.number as attempt, f.path, f.size, encode(f.sha256, 'hex') as sha256,
    r.published_at,
    -- As the store's layout has it: <sweep>-<short id>/<job, padded>/<attempt>/<path>.
    format(
        '%s-%s/%s/%s/%s', s.name, left(s.id::text, 8), lpad(f.job::text, length((s.jobs - 1)::text), '0'), a.number,
        f.path || case f.encoding when 'zstd' then '.zst' else '' end
    ) as stored_at
from result_files f
join results r on r.sweep_id = f.sweep_id and r.job = f.job
join attempts a on a.id = r.attempt_id
join sweeps s on s.id = f.sweep_id;

create view reports.agents as
select
    g.id, g.name, g.version, g.engine, g.labels, g.volumes, g.about,
    g.cpu_millis / 1e3::float8 as cpus, g.memory_bytes, g.gpus, g.disk_bytes, g.max_jobs,
    nullif(g.unhealthy, '') as unhealthy, g.draining, g.last_seen_at
from agents g;
