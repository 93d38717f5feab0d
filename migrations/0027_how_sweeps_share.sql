-- How the jobs of a sweep run that asks for `containers: warm`, as its agents have found: why they don't run warm, and which
-- modules they don't find imported.
alter table sweeps
    add column containers text check (containers in ('each', 'reuse')),
    add column containers_why text not null default '',
    add column left_out jsonb not null default '{}';
