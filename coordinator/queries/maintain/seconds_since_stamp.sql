-- How long no coordinator was there to renew a lease; null when none ever was.
select extract(epoch from now() - max(stamped_at))::float8 as seconds from coordinators
