-- Sets everything that the coordinator relies on, whatever the server, the database or the role has as its default.
-- Settings that this version of Postgres does not have are left out. $1: milliseconds that a lock may be waited for, and that
-- a transaction may stand still. `role` is left alone: it decides who owns the tables.
select pg_catalog.set_config(known.name, wanted.value, false)
from (values
    ('default_transaction_isolation', 'read committed'),
    ('default_transaction_deferrable', 'off'),
    -- What a client may hold while it does not move: no lock for longer than this, no statement for ever.
    ('idle_in_transaction_session_timeout', $1::text),
    ('lock_timeout', $1::text),
    ('statement_timeout', '900000'),
    ('transaction_timeout', '0'),
    ('idle_session_timeout', '0'),
    ('tcp_keepalives_idle', '10'),
    ('tcp_keepalives_interval', '5'),
    ('tcp_keepalives_count', '3'),
    ('tcp_user_timeout', '30000'),
    ('TimeZone', 'UTC'),
    ('DateStyle', 'ISO, MDY'),
    ('IntervalStyle', 'postgres'),
    ('bytea_output', 'hex'),
    ('standard_conforming_strings', 'on'),
    ('session_replication_role', 'origin'),
    ('work_mem', '16384'),
    -- The planner is left as it is made; transactions set what they need for themselves (connections/connection.rs).
    ('plan_cache_mode', 'auto'),
    ('jit', 'off'),
    ('enable_seqscan', 'on'),
    ('enable_bitmapscan', 'on'),
    ('enable_indexscan', 'on'),
    ('enable_indexonlyscan', 'on'),
    ('enable_nestloop', 'on'),
    ('enable_hashjoin', 'on'),
    ('enable_mergejoin', 'on'),
    ('enable_sort', 'on')
) as wanted (name, value)
join pg_catalog.pg_settings known on known.name = wanted.name and known.setting is distinct from wanted.value
union all
-- A submit that was answered must outlive a crash. Waiting for standbys too is for the administrator to choose.
select pg_catalog.set_config('synchronous_commit', 'on', false)
where pg_catalog.current_setting('synchronous_commit') = 'off'
union all
-- Where the tables are, or else where this role makes new ones. Nothing there hides Postgres's own functions.
select pg_catalog.set_config(
    'search_path',
    pg_catalog.quote_ident(coalesce(
        (
            select n.nspname from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where c.relname = 'sweep_counts' and c.relkind = 'r'
            order by pg_catalog.pg_table_is_visible(c.oid) desc, n.nspname
            limit 1
        ),
        pg_catalog.current_schema()::text,
        'public'
    )) || ', pg_temp',
    false
)
union all
select pg_catalog.set_config('btctl.session', 'set up', false)
