-- Owners who had nothing running for long.
delete from owner_shares where containers < 0.01
