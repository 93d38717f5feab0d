select manifest::text as "manifest!", jobs, owner, priority, cpu_millis, memory_bytes, gpus, labels, volumes
from sweeps where id = $1
