-- A user's retry starts the job's budgets and its memory anew. One that has no parameters yet waits for its window again.
update jobs
set state = 'queued', finished_at = null, reason = null, reason_code = null, reason_message = null, metrics = null,
    memory_bytes = null, failures = 0, ooms = 0, losses = 0, preemptions = 0, ready_at = case when waits_for is null then now() else 'infinity' end
where sweep_id = $1 and state = any($2) and ($3::int[] is null or number = any($3))
    and (cardinality($4::reason_kind[]) = 0 or reason = any($4))
