-- Whoever signs in gets a new token each time: those that ended a while ago are of no use any more.
delete from tokens as t
where issuer is not null and least(expires_at, revoked_at) < now() - interval '30 days'
    and not exists (select from page_sessions as s where s.token_id = t.id)
