-- Results that are taken in place of running a job again, and jobs that wait for an identical one instead of doubling
-- it (`btctl submit --reuse`).

-- Whether a sweep takes results: not looked for yet (no job of it is started), looked for, or given up, as the note says.
create type reuse_state as enum ('pending', 'settled', 'declined');

alter table sweeps
    -- SHA-256 over all of the manifest that changes a result, but for image and parameters; absent in sweeps of
    -- versions that knew no reuse.
    add column recipe bytea check (length(recipe) = 32),
    -- Absent: nobody asked for it.
    add column reuse reuse_state,
    -- What it waits for, or why it was given up; for people.
    add column reuse_note text not null default '',
    -- What the volumes held when its jobs were compared with others, by name; absent without volumes.
    add column reuse_volumes jsonb,
    -- Jobs with earlier results whose metrics differ.
    add column reuse_differing int not null default 0 check (reuse_differing >= 0);
-- What tells an image from all others, without the name of the registry; null while nobody knows.
create function known_image(image text, image_pin text) returns text language sql immutable as $$
    select regexp_replace(coalesce(image_pin, case when image like '%@sha256:%' then image end), '^.*@', '')
$$;
create index sweeps_by_recipe on sweeps (recipe) where recipe is not null;
create index sweeps_to_settle on sweeps (created_at) where reuse = 'pending';

-- A job that waits for the end of an identical one, its leader, stays queued, and is never ready.
alter table jobs
    add column attached_sweep uuid,
    add column attached_job int,
    add constraint attached_is_held check (
        case when attached_sweep is null then attached_job is null
        else attached_job is not null and state = 'queued' and ready_at = 'infinity' end
    );
drop index jobs_queued;
create index jobs_queued on jobs (sweep_id, number) where state = 'queued' and attached_sweep is null;
create index jobs_attached on jobs (attached_sweep, attached_job) where attached_sweep is not null;
create index jobs_waiting on jobs (sweep_id, number) where attached_sweep is not null;

-- An attempt may count for other jobs than its own.
alter table results
    drop constraint results_attempt_id_key,
    -- It is another job's attempt.
    add column reused boolean not null default false;
create unique index results_own on results (attempt_id) where not reused;
create index results_reused on results (attempt_id) where reused;

-- How many results a sweep has taken from which. Each statement that takes some adds a row; the sum holds.
create table reused_from (
    sweep_id uuid not null references sweeps,
    source_id uuid not null references sweeps,
    jobs int not null check (jobs > 0)
);
create index reused_from_by_sweep on reused_from (sweep_id);

-- Of the queued jobs, those that are attached.
alter table sweep_counts add column attached int not null default 0;

create or replace function count_moved_jobs() returns trigger language plpgsql as $$
begin
    insert into sweep_counts (sweep_id, queued, running, succeeded, failed, cancelled, attached)
    select sweep_id,
        coalesce(sum(one) filter (where state = 'queued'), 0),
        coalesce(sum(one) filter (where state = 'running'), 0),
        coalesce(sum(one) filter (where state = 'succeeded'), 0),
        coalesce(sum(one) filter (where state = 'failed'), 0),
        coalesce(sum(one) filter (where state = 'cancelled'), 0),
        coalesce(sum(one) filter (where attached), 0)
    from (
        select sweep_id, state, attached_sweep is not null as attached, 1 as one from after
        union all
        select sweep_id, state, attached_sweep is not null, -1 from before
    ) moved
    group by sweep_id;
    return null;
end $$;

-- Where a file stands that another job has made.
create or replace view reports.files as
select
    f.sweep_id, s.name as sweep, f.job, a.number as attempt, f.path, f.size, encode(f.sha256, 'hex') as sha256,
    r.published_at,
    -- As the store's layout has it: <sweep>-<short id>/<job, padded>/<attempt>/<path>.
    format(
        '%s-%s/%s/%s/%s', o.name, left(o.id::text, 8), lpad(a.job::text, length((o.jobs - 1)::text), '0'), a.number,
        f.path || case f.encoding when 'zstd' then '.zst' else '' end
    ) as stored_at
from result_files f
join results r on r.sweep_id = f.sweep_id and r.job = f.job
join attempts a on a.id = r.attempt_id
join sweeps s on s.id = f.sweep_id
join sweeps o on o.id = a.sweep_id;
