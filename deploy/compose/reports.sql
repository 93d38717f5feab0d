-- The role that Grafana asks as: it may read the views of the schema `reports`, and nothing else. Safe to run again. Fails
-- until a coordinator has made the views; compose.yaml then runs it again.
\getenv password GRAFANA_POSTGRES_PASSWORD
select format('create role grafana login password %L', :'password')
    where not exists (select from pg_roles where rolname = 'grafana') \gexec
alter role grafana password :'password';
grant usage on schema reports to grafana;
grant select on all tables in schema reports to grafana;
alter default privileges in schema reports grant select on tables to grafana;
