select distinct jsonb_object_keys(metrics) as "name!" from jobs
where sweep_id = $1 and metrics is not null and state = 'succeeded'
order by 1
limit 200
