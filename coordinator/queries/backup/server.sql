select
    pg_catalog.current_setting('server_version') as "version!",
    pg_catalog.current_setting('server_version_num')::int as "version_number!"
