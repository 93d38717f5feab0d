-- The token that somebody signed in to the page with ends with the page's session.
update tokens set revoked_at = now()
where id = (select token_id from page_sessions where key = $1) and of_page and revoked_at is null
returning id
