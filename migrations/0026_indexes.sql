-- Indexes that the statements of every second need, and no others; counts that say something; tables that Postgres looks at
-- before they have grown much.

-- Attempts that are live are found by sweep in attempts_one_live too, which begins with it.
drop index attempts_live_by_sweep;

-- Sweeps of a name, the newest first, as users name them.
drop index sweeps_by_name;
create index sweeps_by_name on sweeps (name, created_at desc, id desc) where removed_at is null;
create index agents_by_name on agents (name);

-- A statement that moves no job (metrics that are added, say) adds no row.
create or replace function count_moved_jobs() returns trigger language plpgsql as $$
begin
    insert into sweep_counts (sweep_id, queued, running, succeeded, failed, cancelled, attached)
    select * from (
        select sweep_id,
            coalesce(sum(one) filter (where state = 'queued'), 0) as queued,
            coalesce(sum(one) filter (where state = 'running'), 0) as running,
            coalesce(sum(one) filter (where state = 'succeeded'), 0) as succeeded,
            coalesce(sum(one) filter (where state = 'failed'), 0) as failed,
            coalesce(sum(one) filter (where state = 'cancelled'), 0) as cancelled,
            coalesce(sum(one) filter (where attached), 0) as attached
        from (
            select sweep_id, state, attached_sweep is not null as attached, 1 as one from after
            union all
            select sweep_id, state, attached_sweep is not null, -1 from before
        ) moved
        group by sweep_id
    ) change
    where (queued, running, succeeded, failed, cancelled, attached) <> (0, 0, 0, 0, 0, 0);
    return null;
end $$;

-- From now on a sweep is folded when it ends, and only open ones are looked at; here are those that had ended before.
with folded as (
    delete from sweep_counts c using sweeps s where s.id = c.sweep_id and s.ended_at is not null
    returning c.*
)
insert into sweep_counts (sweep_id, queued, running, succeeded, failed, cancelled, attached)
select sweep_id, sum(queued), sum(running), sum(succeeded), sum(failed), sum(cancelled), sum(attached)
from folded group by sweep_id;

-- Statistics are made when a fiftieth of a table has changed, not a tenth. Which sweep a row is of decides what a statement
-- costs: more of the sweeps that have most rows are known by name.
alter table jobs set (autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 500);
alter table attempts set (autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 500);
alter table results set (autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 500);
alter table result_files set (autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 500);
alter table sweep_counts set (autovacuum_analyze_scale_factor = 0.05, autovacuum_analyze_threshold = 500);
alter table jobs alter column sweep_id set statistics 500;
alter table attempts alter column sweep_id set statistics 500;
