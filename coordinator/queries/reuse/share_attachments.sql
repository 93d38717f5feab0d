-- Nobody makes new leaders meanwhile (lead_attachments).
select pg_advisory_xact_lock_shared(7233190)
