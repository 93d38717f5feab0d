select count(*) as "live!" from coordinators where stamped_at > now() - interval '1 minute'
