-- The metrics of an attempt on its way, the first ones first.
select at, done, metrics::text as "metrics!" from progress_points where attempt_id = $1 order by number
