delete from page_sessions where key = $1
