-- Holds these jobs of a sweep, in the order of their numbers, with what they have reported so far.
select number, state as "state: Pg<JobState>", metrics::text as metrics
from jobs
where sweep_id = $1 and number = any($2)
order by number
for no key update
