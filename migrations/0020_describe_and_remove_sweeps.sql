-- What users write on sweeps, and sweeps that they remove.

alter table sweeps
    add column tags text[] not null default '{}',
    add column note text not null default '',
    -- When a user removed it. Its results are given up at the same time; from then on no client sees it. The row stays,
    -- so that a submit that is sent again with its key still creates nothing.
    add column removed_at timestamptz,
    drop constraint only_what_is_to_go_expires,
    add constraint only_what_is_to_go_expires
        check (expired_at is null or keep_seconds is not null or removed_at is not null),
    add constraint removed_is_expired check (removed_at is null or expired_at is not null);

create or replace view reports.sweeps as
select
    s.id, s.name, s.owner, s.image, s.image_pin, s.priority, s.jobs,
    case when s.cancelled_at is null then c.queued else 0 end as queued,
    c.running, c.succeeded, c.failed,
    case when s.cancelled_at is null then c.cancelled else c.cancelled + c.queued end as cancelled,
    s.paused_at is not null as paused,
    s.created_at, s.ended_at,
    -- Without what may hold secrets.
    s.manifest::jsonb - 'env' as manifest,
    s.tags, s.note
from sweeps s
cross join lateral (
    select
        coalesce(sum(queued), 0)::int as queued, coalesce(sum(running), 0)::int as running,
        coalesce(sum(succeeded), 0)::int as succeeded, coalesce(sum(failed), 0)::int as failed,
        coalesce(sum(cancelled), 0)::int as cancelled
    from sweep_counts where sweep_id = s.id
) c
where s.removed_at is null;
