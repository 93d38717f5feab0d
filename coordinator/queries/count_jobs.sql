select state as "state: Pg<JobState>", count(*) as "jobs!"
from jobs where sweep_id = $1 and ($2::int[] is null or number = any($2))
group by state
