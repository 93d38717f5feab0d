-- The state of this moment, for other sessions too, and what server it is of.
select
    pg_catalog.pg_export_snapshot() as "snapshot!",
    now() as "taken!",
    pg_catalog.current_setting('server_version') as "version!",
    pg_catalog.current_setting('server_version_num')::int as "version_number!"
