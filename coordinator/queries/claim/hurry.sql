-- Until the end of this transaction a lock is waited for only so many milliseconds.
select set_config('lock_timeout', $1, true)
