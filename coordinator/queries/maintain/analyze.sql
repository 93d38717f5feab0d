-- Has statistics made of the tables that grown_tables.sql tells of, and of no others.
do $$
declare
    name text;
begin
    for name in
        select t.relname from pg_stat_user_tables t
        join pg_class c on c.oid = t.relid
        where t.schemaname = current_schema()
            and t.relname in ('sweeps', 'sweep_counts', 'jobs', 'attempts', 'results', 'result_files')
            and t.n_mod_since_analyze > 500 + greatest(c.reltuples, 0)
        order by t.relname
    loop
        execute format('analyze %I', name);
    end loop;
end $$
