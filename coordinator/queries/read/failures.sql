select reason as "reason!: Pg<ReasonKind>", reason_code, reason_message,
    count(*) as "jobs!", min(number) as "first_job!"
from jobs
where sweep_id = $1 and state = 'failed'
group by reason, reason_code, reason_message
order by count(*) desc, min(number)
limit 20
