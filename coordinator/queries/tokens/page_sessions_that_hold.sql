select key from page_sessions where key = any($1) and expires_at > now()
