-- Whose a browser's session is, if it has not ended.
select token_id, root_key from page_sessions where key = $1 and expires_at > now()
