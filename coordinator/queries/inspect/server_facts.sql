-- What a server, a database and a role are set to, as far as a coordinator depends on it. `reset_val` is what sessions begin
-- with, before a coordinator has set anything.
select
    pg_catalog.current_setting('server_version') as "version!",
    pg_catalog.current_setting('fsync')::bool as "fsync!",
    pg_catalog.current_setting('full_page_writes')::bool as "full_page_writes!",
    pg_catalog.current_setting('autovacuum')::bool as "autovacuum!",
    (select reset_val from pg_catalog.pg_settings where name = 'synchronous_commit') as "synchronous_commit!",
    pg_catalog.current_setting('max_connections')::int as "max_connections!",
    pg_catalog.current_setting('superuser_reserved_connections')::int as "reserved!",
    (select count(*) from pg_catalog.pg_stat_activity where backend_type = 'client backend') as "sessions!",
    (select rolconnlimit from pg_catalog.pg_roles where rolname = current_user) as "role_limit!",
    (select datconnlimit from pg_catalog.pg_database where datname = pg_catalog.current_database())
        as "database_limit!",
    pg_catalog.current_database()::text as "database!",
    current_user::text as "role!",
    pg_catalog.pg_database_size(pg_catalog.current_database()) as "bytes!",
    pg_catalog.has_schema_privilege(
        coalesce(pg_catalog.current_schema()::text, 'public'), 'create'
    ) as "may_create!",
    extract(epoch from pg_catalog.clock_timestamp())::float8 as "now!"
