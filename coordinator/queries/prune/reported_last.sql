-- What these attempts reported last.
select attempt_id, metrics::text as "metrics!" from progress where attempt_id = any($1) and metrics is not null
