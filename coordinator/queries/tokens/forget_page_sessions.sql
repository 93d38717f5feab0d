delete from page_sessions where expires_at < now()
