delete from quotas where owner = $1
