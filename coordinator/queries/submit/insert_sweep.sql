-- A second submit with the same key waits here for the first to commit, and then inserts nothing.
insert into sweeps (
    id, name, owner, idempotency_key, fingerprint, manifest, jobs, priority, retries,
    cpu_millis, memory_bytes, gpus, labels, volumes, image,
    oom_retries, loss_retries, preemption_retries, retry_on, max_parallel, limits, canary, disk_bytes, keep_seconds,
    recipe, reuse
)
values (
    $1, $2, $3, $4, $5, $6::text::json, $7, $8, $9, $10, $11, $12, $13, $14, $15,
    $16, $17, $18, $19, $20, $21, $22, $23, $24,
    $25, case when $26 then 'pending'::reuse_state end
)
on conflict (idempotency_key) do nothing
returning id
