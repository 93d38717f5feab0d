-- Rows for the tests of plans: :jobs jobs of each of six sweeps, and ten of each of two hundred others.
begin;
set local session_replication_role = replica;

insert into agents (id, name, session, cpu_millis, memory_bytes, gpus, labels, volumes, version, engine)
select gen_random_uuid(), 'agent-' || n, 1, 1000, 1, 0, '{}', '{}', '', ''
from generate_series(1, 200) n;

insert into sweeps (
    id, name, owner, idempotency_key, fingerprint, manifest, jobs, priority, retries, cpu_millis, memory_bytes, gpus,
    labels, volumes, image, recipe, reuse, ended_at
)
select gen_random_uuid(), 'sweep-' || n % 50, 'ann', gen_random_uuid()::text, decode(repeat('07', 32), 'hex'), '{}',
    case when n <= 6 then :jobs else 10 end, 0, 0, 1000, 1, 0, '{}', '{}', 'i:1', decode(repeat('09', 32), 'hex'),
    case when n % 7 = 0 then 'settled'::reuse_state end, case when n > 50 then now() end
from generate_series(1, 206) n;

create temporary table made on commit drop as
select s.id as sweep_id, number, number % 2 = 0 and (s.jobs > 10 or s.ended_at is not null) as ended,
    gen_random_uuid() as attempt
from sweeps s cross join lateral generate_series(0, s.jobs - 1) number
where not exists (select from jobs j where j.sweep_id = s.id);

insert into jobs (sweep_id, number, state, attempts, finished_at)
select sweep_id, number,
    case when ended then 'succeeded' when number % 20 = 1 then 'running' else 'queued' end::job_state,
    case when ended or number % 20 = 1 then 1 else 0 end, case when ended then now() end
from made;

insert into attempts (id, sweep_id, job, number, agent_id, state, lease_expires_at, finished_at)
select attempt, sweep_id, number, 1, (select array_agg(id) from agents)[1 + number % 200],
    case when ended then 'succeeded' else 'leased' end::attempt_state,
    case when not ended then now() end, case when ended then now() end
from made where ended or number % 20 = 1;

insert into results (sweep_id, job, attempt_id, written)
select sweep_id, number, attempt, number % 1000 <> 0 from made where ended;

insert into result_files (sweep_id, job, path, size, sha256)
select sweep_id, number, path, 1, decode(repeat('01', 32), 'hex')
from made cross join (values ('a'), ('b')) as file (path)
where ended;

insert into progress (attempt_id, fraction, metrics, points)
select attempt, 0.5, '{"sharpe": 0.5}', 10 from made where not ended and number % 20 = 1;

insert into progress_points (attempt_id, number, at, metrics)
select attempt, point, now(), '{"sharpe": 0.5}' from made cross join generate_series(0, 9) point
where not ended and number % 20 = 1;

insert into sweep_counts (sweep_id, queued, running, succeeded)
select sweep_id, count(*) filter (where not ended and number % 20 <> 1), count(*) filter (where not ended and number % 20 = 1),
    count(*) filter (where ended)
from made group by sweep_id;
commit;
