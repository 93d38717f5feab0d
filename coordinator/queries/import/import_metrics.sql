update jobs j
set metrics = e.metrics::jsonb
from unnest($2::int[], $3::text[]) as e (number, metrics)
where j.sweep_id = $1 and j.number = e.number and j.state = 'succeeded'
