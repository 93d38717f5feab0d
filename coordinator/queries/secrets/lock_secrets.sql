-- One change at a time; who reads waits for none.
lock table secrets in share row exclusive mode
