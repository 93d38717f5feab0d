select
    (select count(*) from sweeps) as "sweeps!",
    (select coalesce(sum(jobs), 0)::bigint from sweeps) as "jobs!",
    (select count(*) from results) as "results!",
    (select count(*) from jobs where state = 'running') as "running!",
    (select count(*) from jobs where state = 'queued') as "queued!"
