select id from agents where id = $1 and session = $2 for share
