update sweeps set canary_passed_at = now() where id = $1 and canary_passed_at is null
