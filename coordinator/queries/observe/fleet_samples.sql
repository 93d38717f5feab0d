-- How the fleet stood within the last day, minute by minute.
select at, ready, connected, running, cpu_millis, cpu_millis_used, memory_bytes, memory_bytes_used, gpus, gpus_used
from fleet_samples
order by at
