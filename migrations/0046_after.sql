-- Sweeps that wait for others: no job of theirs starts before all of `after` have ended, and those that are not in `after_any`
-- have succeeded. Those that are waited for are there before, so that none can wait for itself, however they are chained.
alter table sweeps
    add column after uuid[] not null default '{}' check (cardinality(after) <= 16),
    add column after_any uuid[] not null default '{}' check (after_any <@ after),
    -- When that was so. It is decided once, whatever is done to the others later.
    add column after_passed_at timestamptz,
    -- Why the coordinator cancelled it; empty where a user did.
    add column cancel_reason text not null default '',
    add constraint only_who_waits_passes check (after_passed_at is null or after <> '{}');
