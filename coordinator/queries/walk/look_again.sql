-- Identical jobs are looked for again, since one has its parameters only now. The sweep is held.
update sweeps set reuse = 'pending' where id = $1 and reuse = 'settled'
