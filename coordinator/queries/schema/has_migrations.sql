-- Whether a coordinator has ever made tables here.
select pg_catalog.to_regclass('_sqlx_migrations') is not null as "there!"
