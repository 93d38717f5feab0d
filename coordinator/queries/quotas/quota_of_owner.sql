select
    coalesce(own.queued, most.queued) as queued, coalesce(own.running, most.running) as running,
    coalesce(own.cpu_millis, most.cpu_millis) as cpu_millis,
    coalesce(own.submits_per_minute, most.submits_per_minute) as submits_per_minute,
    coalesce(own.bytes, most.bytes) as bytes
from (select) one
left join quotas own on own.owner = $1
left join quotas most on most.owner = ''
