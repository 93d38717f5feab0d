-- One at a time makes new leaders, and only while nobody attaches jobs (share_attachments).
select pg_try_advisory_xact_lock(7233190) as "locked!"
