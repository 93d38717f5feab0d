-- Whether a table has changed by more than all that it held when its statistics were made.
select exists (
    select from pg_stat_user_tables t
    join pg_class c on c.oid = t.relid
    where t.schemaname = current_schema()
        and t.relname in ('sweeps', 'sweep_counts', 'jobs', 'attempts', 'results', 'result_files')
        and t.n_mod_since_analyze > 500 + greatest(c.reltuples, 0)
) as "grown!"
