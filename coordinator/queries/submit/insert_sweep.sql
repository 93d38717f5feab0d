-- $1 has the columns, by name; the manifest stands apart, because JSON in jsonb loses the order of its keys. A second submit
-- with the same key waits here for the first to commit, and then inserts nothing.
insert into sweeps (
    id, name, owner, idempotency_key, fingerprint, manifest, jobs, priority,
    cpu_millis, memory_bytes, gpus, disk_bytes, labels, volumes, secrets, any_secret, image, image_alias,
    retries, oom_retries, oom_factor, oom_max_bytes, pinned, dev_mounts, loss_retries, preemption_retries, retry_on,
    max_parallel, limits, canary, keep_seconds, recipe, reuse, batch, notify, family, open_jobs, cut_before, after, after_any,
    timeout_millis, preempt,
    ranked_by, minimized, stop_when
)
select
    id, name, owner, idempotency_key, fingerprint, $2::text::json, jobs, priority,
    cpu_millis, memory_bytes, gpus, disk_bytes, labels, volumes, secrets, any_secret, image, image_alias,
    retries, oom_retries, oom_factor, oom_max_bytes, pinned, dev_mounts, loss_retries, preemption_retries, retry_on,
    max_parallel, limits, canary, keep_seconds, recipe, reuse, batch, notify, family, open_jobs, cut_before, after, after_any,
    timeout_millis, preempt,
    metrics_of_rank($2::text::json), metrics_to_minimize($2::text::json), $2::text::json ->> 'stop_when'
from jsonb_populate_record(null::sweeps, $1::jsonb)
on conflict (idempotency_key) do nothing
returning id
