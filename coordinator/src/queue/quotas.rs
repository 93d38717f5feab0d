//! What each owner may have and do: how much of it is checked when jobs are queued, and how much when they start.

use bt_model::resources::ByteSize;
use sqlx::query_file;

use super::connections::Connection;
use super::row::{signed, unsigned};
use super::{Candidate, Error, Queue, READY, notify};

/// What stands for no quota, where one of all owners is to hold less.
pub(crate) const UNLIMITED: u64 = i64::MAX as u64;
/// The row of those who have none of their own.
pub(crate) const EVERYBODY: &str = "";

/// What a lock holds others off from.
const STARTING: i32 = 0x6274_7131;
const QUEUEING: i32 = 0x6274_7132;

/// What an owner may have and do; what is not there does not bind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) queued: Option<u64>,
    pub(crate) running: Option<u64>,
    pub(crate) cpu_millis: Option<u64>,
    pub(crate) submits_per_minute: Option<u64>,
    /// In the store.
    pub(crate) bytes: Option<u64>,
}

/// What an owner has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct OwnerUse {
    pub(crate) queued: u64,
    pub(crate) running: u64,
    pub(crate) cpu_millis: u64,
    /// Within the last minute.
    pub(crate) submits: u64,
    /// Counted where there is a quota of it.
    pub(crate) bytes: Option<u64>,
    /// Containers that were running lately, on average, where that was noted.
    pub(crate) lately: Option<f64>,
}

/// What holds for an owner.
#[derive(Clone, Debug)]
pub(crate) struct OwnerRow {
    /// [`EVERYBODY`]: what holds for those who have none of their own.
    pub(crate) owner: String,
    /// It has a quota of its own.
    pub(crate) set: bool,
    pub(crate) quota: Quota,
    pub(crate) used: OwnerUse,
}

/// How much more an owner may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) jobs: u64,
    pub(crate) cpu_millis: u64,
}

impl Room {
    pub(crate) const ALL: Self = Self { jobs: u64::MAX, cpu_millis: u64::MAX };

    /// What the quota leaves, with so much running; all where it does not bind.
    pub(super) fn left(quota: &Quota, running: u64, cpu_millis: u64) -> Self {
        let left = |most: Option<u64>, used: u64| most.map_or(u64::MAX, |most| most.saturating_sub(used));
        Self { jobs: left(quota.running, running), cpu_millis: left(quota.cpu_millis, cpu_millis) }
    }

    /// How many containers with so many cpus may start.
    pub(super) fn containers(&self, cpu_millis: u64) -> u64 {
        self.cpu_millis / cpu_millis.max(1)
    }
}

macro_rules! quota {
    ($row:ident) => {
        Quota {
            queued: $row.queued.map(unsigned).transpose()?,
            running: $row.running.map(unsigned).transpose()?,
            cpu_millis: $row.cpu_millis.map(unsigned).transpose()?,
            submits_per_minute: $row.submits_per_minute.map(unsigned).transpose()?,
            bytes: $row.bytes.map(unsigned).transpose()?,
        }
        .bound()
    };
}

impl Quota {
    /// Without what stands for none.
    fn bound(self) -> Self {
        let bound = |most: Option<u64>| most.filter(|most| *most < UNLIMITED);
        Self {
            queued: bound(self.queued),
            running: bound(self.running),
            cpu_millis: bound(self.cpu_millis),
            submits_per_minute: bound(self.submits_per_minute),
            bytes: bound(self.bytes),
        }
    }

    /// Why no more jobs of the owner start while so much runs, each with so many cpus; nothing if one may.
    pub(crate) fn holds_back(&self, owner: &str, used: &OwnerUse, cpu_millis: u64) -> Option<String> {
        let room = Room::left(self, used.running, used.cpu_millis);
        if room.jobs == 0 {
            return Some(format!(
                "{owner} is at the quota of {} running jobs: {} run (btctl quota ls)",
                self.running.unwrap_or_default(),
                used.running
            ));
        }
        (room.cpu_millis < cpu_millis).then(|| {
            format!(
                "{owner} is at the quota of {} cpus: running jobs have {}, and a job needs {} (btctl quota ls)",
                cpus(self.cpu_millis.unwrap_or_default()),
                cpus(used.cpu_millis),
                cpus(cpu_millis)
            )
        })
    }

    /// The sentence for jobs that are too many.
    fn too_many_queued(&self, owner: &str, used: u64, more: u64) -> Option<Error> {
        let most = self.queued.filter(|most| used.saturating_add(more) > *most)?;
        let free = most.saturating_sub(used);
        let right = match free {
            0 => "try again when some of them have started".to_owned(),
            free => format!("queue {free} at most, or try again when more of them have started"),
        };
        let right = if more > most { format!("queue {most} at most, in parts") } else { right };
        let why =
            format!("{owner} may have {most} queued jobs: {used} are queued, and these are {more}; {right}");
        Some(Error::OverQuota { why, wait: None })
    }
}

/// Cpus for people.
fn cpus(millis: u64) -> String {
    (millis as f64 / 1000.0).to_string()
}

impl Queue {
    /// What holds for these owners, or for all, and how much of it is used.
    pub(crate) async fn quotas(&self, owners: Option<&[String]>) -> Result<Vec<OwnerRow>, Error> {
        let rows = query_file!("queries/quotas/list_quotas.sql", owners).fetch_all(&self.pool).await?;
        let mut known = Vec::with_capacity(rows.len());
        for row in rows {
            let quota = quota!(row);
            let used = match row.owner.as_str() {
                EVERYBODY => OwnerUse::default(),
                owner => OwnerUse { lately: row.lately, ..self.used_of(owner, &quota).await? },
            };
            known.push(OwnerRow { owner: row.owner, set: row.set, quota, used });
        }
        Ok(known)
    }

    async fn used_of(&self, owner: &str, quota: &Quota) -> Result<OwnerUse, Error> {
        if quota.bytes.is_some() {
            self.count_results(owner).await?;
        }
        let mut tx = self.pool.begin().await?;
        let submits = query_file!("queries/quotas/submits_of_owner.sql", owner, 0_i64);
        let submits = unsigned(submits.fetch_one(&mut *tx).await?.submits)?;
        let bytes = match quota.bytes {
            Some(_) => Some(bytes_of(&mut tx, owner).await?),
            None => None,
        };
        let used = OwnerUse { submits, bytes, ..used_by(&mut tx, owner).await? };
        tx.commit().await?;
        Ok(used)
    }

    /// Counts what the owner's ended sweeps keep, if there is a quota of it: by itself, so that a long submit holds up nobody who
    /// counts too.
    pub(super) async fn count_results(&self, owner: &str) -> Result<(), Error> {
        let mut connection = self.pool.patient().acquire().await?;
        if quota_in(&mut connection, owner).await?.bytes.is_some() {
            query_file!("queries/quotas/size_ended.sql", owner).execute(&mut connection).await?;
        }
        Ok(())
    }

    /// What holds for one owner's jobs that are to start, and what runs.
    pub(crate) async fn quota_of(&self, owner: &str) -> Result<(Quota, OwnerUse), Error> {
        let mut connection = self.by_key.acquire().await?;
        let quota = quota_in(&mut connection, owner).await?;
        let used = match quota.running.or(quota.cpu_millis) {
            None => OwnerUse::default(),
            Some(_) => used_by(&mut connection, owner).await?,
        };
        Ok((quota, used))
    }

    /// Sets what is given; what runs and is queued stays.
    pub(crate) async fn set_quota(&self, owner: &str, quota: &Quota) -> Result<(), Error> {
        let [queued, running, cpu_millis, submits, bytes] =
            [quota.queued, quota.running, quota.cpu_millis, quota.submits_per_minute, quota.bytes]
                .map(|most| most.map(|most| most.min(UNLIMITED) as i64));
        let mut tx = self.pool.begin().await?;
        query_file!("queries/quotas/set_quota.sql", owner, queued, running, cpu_millis, submits, bytes)
            .execute(&mut *tx)
            .await?;
        notify(&mut tx, READY).await?;
        tx.commit().await?;
        Ok(())
    }

    /// False if there was none.
    pub(crate) async fn remove_quota(&self, owner: &str) -> Result<bool, Error> {
        let mut tx = self.pool.begin().await?;
        let removed = query_file!("queries/quotas/remove_quota.sql", owner).execute(&mut *tx).await?;
        notify(&mut tx, READY).await?;
        tx.commit().await?;
        Ok(removed.rows_affected() > 0)
    }
}

async fn quota_in(connection: &mut Connection, owner: &str) -> Result<Quota, Error> {
    let row = query_file!("queries/quotas/quota_of_owner.sql", owner).fetch_one(connection).await?;
    Ok(quota!(row))
}

async fn used_by(connection: &mut Connection, owner: &str) -> Result<OwnerUse, Error> {
    let row = query_file!("queries/quotas/used_by_owner.sql", owner).fetch_one(connection).await?;
    Ok(OwnerUse {
        queued: unsigned(row.queued)?,
        running: unsigned(row.running)?,
        cpu_millis: unsigned(row.cpu_millis)?,
        ..OwnerUse::default()
    })
}

async fn bytes_of(connection: &mut Connection, owner: &str) -> Result<u64, Error> {
    unsigned(query_file!("queries/quotas/bytes_of_owner.sql", owner).fetch_one(connection).await?.bytes)
}

/// How many more jobs of the sweep's owner may start, and holds everybody else off from starting any.
pub(super) async fn room_of_owner(tx: &mut Connection, sweep: &Candidate) -> Result<Room, Error> {
    query_file!("queries/quotas/lock_owner.sql", STARTING, &sweep.owner).fetch_one(&mut *tx).await?;
    let quota = quota_in(tx, &sweep.owner).await?;
    let used = used_by(tx, &sweep.owner).await?;
    Ok(Room::left(&quota, used.running, used.cpu_millis))
}

/// Refuses a submit early: before its jobs are written, of which there will be so many at least. Its own row counts; the
/// results of ended sweeps are counted already.
pub(super) async fn admit_submit(tx: &mut Connection, owner: &str, jobs: u64) -> Result<(), Error> {
    let quota = quota_in(tx, owner).await?;
    if let Some(most) = quota.submits_per_minute {
        rate(tx, owner, most).await?;
    }
    if let Some(most) = quota.bytes {
        let kept = bytes_of(tx, owner).await?;
        if kept >= most {
            let why = format!(
                "{owner} may keep {} of results, and keeps {}; remove sweeps (btctl rm), and submit with `keep`, so that results \
                 go by themselves",
                ByteSize(most),
                ByteSize(kept)
            );
            return Err(Error::OverQuota { why, wait: None });
        }
    }
    if quota.queued.is_some() {
        let used = used_by(tx, owner).await?.queued;
        quota.too_many_queued(owner, used, jobs).map_or(Ok(()), Err)?;
    }
    Ok(())
}

async fn rate(tx: &mut Connection, owner: &str, most: u64) -> Result<(), Error> {
    let row = query_file!("queries/quotas/submits_of_owner.sql", owner, signed::<i64>(most + 1)?);
    let row = row.fetch_one(tx).await?;
    // The one that is checked is among them.
    let before = unsigned::<u64>(row.submits)?.saturating_sub(1);
    if before < most {
        return Ok(());
    }
    let wait = if most == 0 { None } else { row.wait.map(unsigned).transpose()? };
    let right = match wait {
        Some(wait) => format!("try again in {wait} s. One sweep can have many jobs"),
        None => "an operator sets it (btctl quota set)".to_owned(),
    };
    let why = format!("{owner} may submit {most} sweeps a minute, and has submitted {before}; {right}");
    Err(Error::OverQuota { why, wait })
}

/// Refuses jobs that were queued in this transaction if they are too many, with all that others have queued meanwhile.
pub(super) async fn admit_queued(tx: &mut Connection, owner: &str, jobs: u64) -> Result<(), Error> {
    let quota = quota_in(tx, owner).await?;
    admit_by(tx, owner, &quota, jobs).await
}

async fn admit_by(tx: &mut Connection, owner: &str, quota: &Quota, jobs: u64) -> Result<(), Error> {
    if quota.queued.is_none() && quota.submits_per_minute.is_none() {
        return Ok(());
    }
    // Held first, counted then: a statement sees what was there when it began.
    query_file!("queries/quotas/lock_owner.sql", QUEUEING, owner).fetch_one(&mut *tx).await?;
    if quota.queued.is_some() {
        let used = used_by(tx, owner).await?.queued.saturating_sub(jobs);
        quota.too_many_queued(owner, used, jobs).map_or(Ok(()), Err)?;
    }
    Ok(())
}

/// As [`admit_queued`], of a submit: the sweep's own row counts.
pub(super) async fn admit_submitted(tx: &mut Connection, owner: &str, jobs: u64) -> Result<(), Error> {
    let quota = quota_in(tx, owner).await?;
    admit_by(tx, owner, &quota, jobs).await?;
    match quota.submits_per_minute {
        Some(most) => rate(tx, owner, most).await,
        None => Ok(()),
    }
}

/// As [`admit_queued`], of jobs that were queued in a sweep that is there.
pub(super) async fn admit_in_sweep(tx: &mut Connection, sweep: uuid::Uuid, jobs: u64) -> Result<(), Error> {
    let owner = query_file!("queries/quotas/owner_of_sweep.sql", sweep).fetch_one(&mut *tx).await?.owner;
    admit_queued(tx, &owner, jobs).await
}
