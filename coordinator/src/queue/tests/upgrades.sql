-- Rows as coordinators of earlier versions left them. What stands under a version is written to a database of that version
-- or a later one.

-- version 1
insert into agents (id, name, session, cpu_millis, memory_bytes, gpus, labels, volumes, version, engine)
values ('aaaaaaaa-0000-4000-8000-000000000001', 'old', 3, 8000, 17179869184, 0, '{}', '{}', '0.1.0', 'docker');
insert into sweeps (id, name, owner, idempotency_key, fingerprint, manifest, jobs, priority, retries, cpu_millis, memory_bytes,
    gpus, labels, volumes, image)
select id::uuid, name, 'ann', name, decode(repeat('07', 32), 'hex'), '{"name": "x"}', jobs, 0, 1, 1000, 1073741824, 0, '{}', '{}', 'i:1'
from (values ('11111111-0000-4000-8000-000000000001', 'grid', 5), ('22222222-0000-4000-8000-000000000002', 'done', 1))
    as s (id, name, jobs);
insert into jobs (sweep_id, number, state, parameters, attempts, finished_at, metrics, reason, reason_code)
values
    ('11111111-0000-4000-8000-000000000001', 0, 'succeeded', '{"n": 0}', 1, now(), '{"sharpe": 1.5}', null, null),
    ('11111111-0000-4000-8000-000000000001', 1, 'failed', '{"n": 1}', 1, now(), null, 'exit', 3),
    ('11111111-0000-4000-8000-000000000001', 2, 'running', '{"n": 2}', 1, null, null, null, null),
    ('11111111-0000-4000-8000-000000000001', 3, 'queued', '{"n": 3}', 0, null, null, null, null),
    ('11111111-0000-4000-8000-000000000001', 4, 'cancelled', '{"n": 4}', 0, now(), null, null, null),
    ('22222222-0000-4000-8000-000000000002', 0, 'succeeded', '{"n": 0}', 2, now(), '{"sharpe": 2.5}', null, null);
insert into attempts (id, sweep_id, job, number, agent_id, state, lease_expires_at, started_at, finished_at, reason, reason_code)
values
    ('bbbbbbbb-0000-4000-8000-000000000001', '11111111-0000-4000-8000-000000000001', 0, 1,
        'aaaaaaaa-0000-4000-8000-000000000001', 'succeeded', null, now(), now(), null, null),
    ('bbbbbbbb-0000-4000-8000-000000000002', '11111111-0000-4000-8000-000000000001', 1, 1,
        'aaaaaaaa-0000-4000-8000-000000000001', 'failed', null, now(), now(), 'exit', 3),
    ('bbbbbbbb-0000-4000-8000-000000000003', '11111111-0000-4000-8000-000000000001', 2, 1,
        'aaaaaaaa-0000-4000-8000-000000000001', 'running', now() + interval '1 hour', now(), null, null, null),
    ('bbbbbbbb-0000-4000-8000-000000000004', '22222222-0000-4000-8000-000000000002', 0, 1,
        'aaaaaaaa-0000-4000-8000-000000000001', 'lost', null, null, now(), null, null),
    ('bbbbbbbb-0000-4000-8000-000000000005', '22222222-0000-4000-8000-000000000002', 0, 2,
        'aaaaaaaa-0000-4000-8000-000000000001', 'succeeded', null, now(), now(), null, null);
insert into results (sweep_id, job, attempt_id, written)
values ('11111111-0000-4000-8000-000000000001', 0, 'bbbbbbbb-0000-4000-8000-000000000001', false),
    ('22222222-0000-4000-8000-000000000002', 0, 'bbbbbbbb-0000-4000-8000-000000000005', true);
insert into result_files (sweep_id, job, path, size, sha256)
values ('11111111-0000-4000-8000-000000000001', 0, 'a.pkl', 10, decode(repeat('01', 32), 'hex')),
    ('22222222-0000-4000-8000-000000000002', 0, 'a.pkl', 20, decode(repeat('02', 32), 'hex'));
insert into coordinators (id) values ('cccccccc-0000-4000-8000-000000000001');

-- version 2
insert into sweep_counts (sweep_id, queued, running, succeeded, failed, cancelled)
values ('11111111-0000-4000-8000-000000000001', 5, 0, 0, 0, 0), ('11111111-0000-4000-8000-000000000001', -4, 1, 1, 1, 1),
    ('22222222-0000-4000-8000-000000000002', 1, 0, 0, 0, 0), ('22222222-0000-4000-8000-000000000002', -1, 0, 1, 0, 0);
update sweeps set ended_at = now() where name = 'done';
insert into sweeps (id, name, owner, idempotency_key, fingerprint, manifest, jobs, priority, retries, cpu_millis, memory_bytes,
    gpus, labels, volumes, image, limits, max_parallel)
values ('33333333-0000-4000-8000-000000000003', 'matrix', 'bob', 'matrix', decode(repeat('07', 32), 'hex'), '{}', 2, 1, 0, 1000,
    1073741824, 0, '{}', '{}', 'i:1', '{"nas": 1}', 1);
insert into jobs (sweep_id, number, point)
values ('33333333-0000-4000-8000-000000000003', 0, null), ('33333333-0000-4000-8000-000000000003', 1, 7);
insert into sweep_counts (sweep_id, queued) values ('33333333-0000-4000-8000-000000000003', 2);
insert into limits (name, capacity) values ('nas', 1);

-- version 3
update attempts set peak_memory_bytes = 1024, cpu_micros = 5 where id = 'bbbbbbbb-0000-4000-8000-000000000001';
insert into images (id, name, size, pushed_by) values ('sha256:' || repeat('0', 64), 'i:1', 100, 'ann');

-- version 4
insert into result_files (sweep_id, job, path, size, sha256, encoding, stored_size)
values ('11111111-0000-4000-8000-000000000001', 0, 'b.csv', 100, decode(repeat('03', 32), 'hex'), 'zstd', 30);

-- version 7
update attempts set given = '{"threads": "1"}' where id = 'bbbbbbbb-0000-4000-8000-000000000001';
insert into image_descriptions (image_id, description) values ('sha256:' || repeat('0', 64), '{}');

-- version 8
insert into sweeps (id, name, owner, idempotency_key, fingerprint, manifest, jobs, priority, retries, cpu_millis, memory_bytes,
    gpus, labels, volumes, image, recipe, reuse)
values ('44444444-0000-4000-8000-000000000004', 'twin', 'ann', 'twin', decode(repeat('07', 32), 'hex'), '{}', 2, 0, 0, 1000,
    1073741824, 0, '{}', '{}', 'i:1', decode(repeat('09', 32), 'hex'), 'settled');
insert into jobs (sweep_id, number, state, parameters, finished_at, metrics, ready_at, attached_sweep, attached_job)
values
    ('44444444-0000-4000-8000-000000000004', 0, 'succeeded', '{"n": 0}', now(), '{"sharpe": 2.5}', now(), null, null),
    ('44444444-0000-4000-8000-000000000004', 1, 'queued', '{"n": 2}', null, null, 'infinity',
        '11111111-0000-4000-8000-000000000001', 2);
insert into sweep_counts (sweep_id, queued, succeeded, attached) values ('44444444-0000-4000-8000-000000000004', 1, 1, 1);
insert into results (sweep_id, job, attempt_id, written, reused)
values ('44444444-0000-4000-8000-000000000004', 0, 'bbbbbbbb-0000-4000-8000-000000000005', true, true);
insert into result_files (sweep_id, job, path, size, sha256)
values ('44444444-0000-4000-8000-000000000004', 0, 'a.pkl', 20, decode(repeat('02', 32), 'hex'));
insert into reused_from (sweep_id, source_id, jobs)
values ('44444444-0000-4000-8000-000000000004', '22222222-0000-4000-8000-000000000002', 1);

-- version 9
update sweeps set keep_seconds = 86400 where name = 'done';

-- version 17
update result_files set stored_as = 'a.pkl.1' where path = 'a.pkl' and sweep_id = '22222222-0000-4000-8000-000000000002';

-- version 18
insert into queue_store (store_id, location) values ('dddddddd-0000-4000-8000-000000000001', '/srv/results');

-- version 20
update sweeps set tags = '{kept}', note = 'first' where name = 'grid';

-- version 24
insert into attempts (id, sweep_id, job, number, agent_id, state, finished_at)
values ('bbbbbbbb-0000-4000-8000-000000000006', '11111111-0000-4000-8000-000000000001', 3, 1,
    'aaaaaaaa-0000-4000-8000-000000000001', 'returned', now());
update jobs set attempts = 1, returned = 1 where sweep_id = '11111111-0000-4000-8000-000000000001' and number = 3;

-- version 25
insert into layers (sha256, size, stored_as) values (decode(repeat('05', 32), 'hex'), 100, 'images/layers/5');
insert into image_archives (id, rest, parts) values ('sha256:' || repeat('0', 64), 'images/rest', '[]');
insert into image_layers (id, sha256) values ('sha256:' || repeat('0', 64), decode(repeat('05', 32), 'hex'));

-- version 26
delete from sweep_counts where sweep_id = '22222222-0000-4000-8000-000000000002';
insert into sweep_counts (sweep_id, succeeded) values ('22222222-0000-4000-8000-000000000002', 1);

-- version 28
update agents set protocol = 2;
update sweeps set batch = 50 where name = 'grid';
update attempts set batch = 'eeeeeeee-0000-4000-8000-000000000001' where id = 'bbbbbbbb-0000-4000-8000-000000000006';

-- version 29
insert into events (kind, body) values ('agent', '{"change": "healthy", "agent": "aaaaaaaa-0000-4000-8000-000000000001", "name": "old", "why": ""}');

-- version 30
update sweeps set notify = '{mailto:ann@quant.example}' where name = 'done';
insert into outbox (event_id, place, sweep_id, event, happened_at, queued, running, succeeded, failed, cancelled, receiver, host)
select 'ffffffff-0000-4000-8000-000000000001', 1, id, 'finished', now(), 0, 0, 1, 0, 0, 'mailto:ann@quant.example', 'mail'
from sweeps where name = 'done';

-- version 31
insert into progress (attempt_id, fraction, metrics, points)
values ('bbbbbbbb-0000-4000-8000-000000000003', 0.5, '{"sharpe": 0.4}', 1);
insert into progress_points (attempt_id, number, at, metrics)
values ('bbbbbbbb-0000-4000-8000-000000000003', 0, now(), '{"sharpe": 0.4}');

-- version 32
update sweeps set family = 'averages' where name = 'done';
insert into calendars (sweep_id, id, times)
values ('22222222-0000-4000-8000-000000000002', decode(repeat('07', 16), 'hex'), decode(repeat('00', 16), 'hex'));
insert into returns (attempt_id, sweep_id, calendar, returns)
values ('bbbbbbbb-0000-4000-8000-000000000003', '22222222-0000-4000-8000-000000000002', decode(repeat('07', 16), 'hex'),
    decode(repeat('00', 16), 'hex'));

-- version 33
insert into window_tests (sweep_id, job, window_number, first_job, last_job) values ('11111111-0000-4000-8000-000000000001', 4, 0, 0, 3);
update jobs set waits_for = 0 where sweep_id = '11111111-0000-4000-8000-000000000001' and number = 4;

-- version 34
insert into sweep_best (sweep_id, place, metric, lowest, job, value)
values ('11111111-0000-4000-8000-000000000001', 1, 'sharpe', false, 0, 1.5);
insert into sweep_samples (sweep_id, at, ended)
values ('11111111-0000-4000-8000-000000000001', now() - interval '1 minute', 1);
insert into fleet_samples (
    at, ready, connected, running, cpu_millis, cpu_millis_used, memory_bytes, memory_bytes_used, gpus, gpus_used
) values (date_trunc('minute', now()) - interval '1 minute', 1, 1, 1, 1000, 500, 1024, 512, 0, 0);
update attempts set stopped_at = now() where id = 'bbbbbbbb-0000-4000-8000-000000000003';

-- version 35
update sweeps set open_jobs = jobs, closed_at = now() where name = 'done';
insert into additions (sweep_id, key, fingerprint, first_job, jobs)
values ('22222222-0000-4000-8000-000000000002', 'k', decode(repeat('07', 32), 'hex'), 0, 1);

-- version 36
update sweeps set stop_when = 'drawdown < -0.5' where name = 'done';
update outbox set pruned = 1;

-- version 37
insert into holdouts (family, from_date, looks, date_column, volumes, sweep_id, owner)
values ('averages', '2012-01-01', 3, 'Date', '{prices}', '22222222-0000-4000-8000-000000000002', 'ann');
insert into looks (family, number, sweep_id, owner, why)
values ('averages', 1, '22222222-0000-4000-8000-000000000002', 'ann', 'before it is traded');
update sweeps set cut_before = '2012-01-01' where name = 'grid';

-- version 38
insert into tokens (id, name, role, owners, hash, created_by) values ('abcdefghijkl', 'ann', 'submitter', '{ann}', 'x', 'root');
insert into token_agents (token_id, agent_id) values ('abcdefghijkl', 'aaaaaaaa-0000-4000-8000-000000000001');
insert into page_sessions (key, token_id, expires_at) values (decode(repeat('07', 32), 'hex'), 'abcdefghijkl', now() + interval '1 hour');
insert into audit (number, at, who, from_address, what, target, before, after, outcome, hash)
values (1, now(), 'ann', '127.0.0.1', 'Sweeps/Submit', 'done', '', '', 'done', decode(repeat('07', 32), 'hex'));

-- version 39
insert into joined_agents (agent_id, name, key_hash, token_id, labels, expires_at) values
('aaaaaaaa-0000-4000-8000-000000000001', 'node1', decode(repeat('07', 32), 'hex'), 'abcdefghijkl', '{}', now() + interval '7 days');

-- version 40
insert into secrets (name, owners, key_id, nonce, sealed, set_by)
values ('BROKER_KEY', '{ann}', '0123456789abcdef', decode(repeat('07', 12), 'hex'), decode(repeat('07', 20), 'hex'), 'root');
update sweeps set secrets = '{BROKER_KEY}', any_secret = true where name = 'grid';
update agents set secrets = '{HOST_KEY}', line_is_private = true where name = 'old';

-- version 41
insert into quotas (owner, queued, running, cpu_millis, submits_per_minute, bytes) values ('ann', 100, 10, 4000, 5, 1048576);
insert into result_sizes (sweep_id, bytes, ended_at)
values ('22222222-0000-4000-8000-000000000002', 1, '2026-01-01T00:00:00Z');

-- version 42
insert into tokens (id, name, role, owners, hash, created_by, issuer, of_page)
values ('signedinaaaa', 'ann@firm.example', 'viewer', '{ann@firm.example}', 'x', 'login.firm.example', 'https://login.firm.example', true);
-- version 43
insert into schedules (id, name, owner, rule, manifest, sweep_name, jobs, catch_up, overlap, next_at, created_by)
values ('55555555-0000-4000-8000-000000000001', 'nightly', 'ann', '{"cron": "30 22 * * 1-5", "zone": "Europe/London"}', '{"name": "x"}',
    'x', 1, 'last', 'skip', now() + interval '1 day', 'ann');
insert into schedule_runs (schedule_id, at_time, outcome, why)
values ('55555555-0000-4000-8000-000000000001', now() - interval '1 day', 'skipped', 'sweep x has not finished');

-- version 44
update schedules set catch_up_seconds = 3600 where name = 'nightly';

-- version 45
insert into image_aliases (name) values ('prod/strategy');
insert into image_alias_changes (alias, number, kind, image, pin, promotion, changed_by)
values ('prod/strategy', 1, 'promote', 'strategy:1', 'sha256:' || repeat('01', 32), 1, 'ann');
update sweeps set image_alias = 'prod/strategy' where name = 'grid';

-- version 46
update sweeps set after = array['22222222-0000-4000-8000-000000000002'::uuid], after_passed_at = now(),
    after_any = array['22222222-0000-4000-8000-000000000002'::uuid]
where id <> '22222222-0000-4000-8000-000000000002';

-- version 47
update sweeps set oom_factor = 1.5, oom_max_bytes = 8589934592, pinned = true where name = 'grid';
update attempts set memory_bytes = 1048576 where id = 'bbbbbbbb-0000-4000-8000-000000000003';

-- version 48
update agents set unavailable = 'cpu load 0.80 over 0.5';

-- version 49
update agents set ends_at = now() + interval '1 hour' where name = 'old';
update sweeps set timeout_millis = 60000;

-- version 50
update sweeps set preempt = true, preempted_at = now() where name = 'grid';
update attempts set preempted_by = '22222222-0000-4000-8000-000000000002' where id = 'bbbbbbbb-0000-4000-8000-000000000003';

-- version 51
update sweeps set dev_mounts = '[{"target": "/pkg", "sha256": "00", "files": 1, "bytes": 2}]' where name = 'grid';

-- version 52
insert into owner_shares (owner, containers) values ('ann', 3.5);
