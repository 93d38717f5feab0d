-- Walk-forward in two phases: a job that tests the best of its window's training jobs. It is there from the beginning, and
-- gets its parameters when these have ended.
create table window_tests (
    sweep_id uuid not null,
    job int not null,
    window_number int not null check (window_number >= 0),
    -- The training jobs of the window have numbers in a row.
    first_job int not null check (first_job >= 0),
    last_job int not null check (last_job >= first_job and last_job < job),
    -- Whose parameters it has, what that one had reported of the metric by which it was chosen, and how many of the
    -- window's training jobs had reported it then.
    chosen_job int check (chosen_job between first_job and last_job),
    chosen_value float8,
    reported int check (reported > 0),
    chosen_at timestamptz,
    primary key (sweep_id, job),
    foreign key (sweep_id, job) references jobs,
    constraint chosen_whole check (num_nonnulls(chosen_job, chosen_value, reported, chosen_at) in (0, 4))
);

alter table jobs
    -- The window whose training it waits for: it has no parameters yet, so it is never ready. It has failed if there was
    -- nothing to choose from.
    add column waits_for int check (waits_for >= 0),
    add constraint waiting_is_held check (
        waits_for is null or state in ('failed', 'cancelled') or state = 'queued' and ready_at = 'infinity'
    );
create index jobs_awaiting on jobs (sweep_id, number) where waits_for is not null and state = 'queued';

-- Of the queued jobs, those that wait for a window.
alter table sweep_counts add column waiting int not null default 0;

create or replace function count_moved_jobs() returns trigger language plpgsql as $$
begin
    insert into sweep_counts (sweep_id, queued, running, succeeded, failed, cancelled, attached, waiting)
    select sweep_id,
        coalesce(sum(one) filter (where state = 'queued'), 0),
        coalesce(sum(one) filter (where state = 'running'), 0),
        coalesce(sum(one) filter (where state = 'succeeded'), 0),
        coalesce(sum(one) filter (where state = 'failed'), 0),
        coalesce(sum(one) filter (where state = 'cancelled'), 0),
        coalesce(sum(one) filter (where attached), 0),
        coalesce(sum(one) filter (where waits), 0)
    from (
        select sweep_id, state, attached_sweep is not null as attached, waits_for is not null and state = 'queued' as waits,
            1 as one
        from after
        union all
        select sweep_id, state, attached_sweep is not null, waits_for is not null and state = 'queued', -1 from before
    ) moved
    group by sweep_id;
    return null;
end $$;
