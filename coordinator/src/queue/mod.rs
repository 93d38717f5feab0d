//! The queue: all state of btctl in Postgres, and the only module that runs SQL.
//!
//! Every move is made by a statement that names the state it expects, so a stale actor changes nothing. Rows are
//! locked in one order everywhere: agent, sweep, job, attempt. All times are Postgres's.

mod after;
mod aliases;
mod attempts;
mod audit;
mod backup;
mod cancel;
mod claim;
mod connections;
mod describe;
mod error;
mod events;
mod files;
mod find;
mod grown;
mod holdouts;
mod images;
mod import;
mod inspect;
mod joined;
mod keep;
mod limits;
mod maintain;
pub(crate) mod measured;
mod observe;
mod open;
mod outbox;
mod preempt;
mod progress;
mod prune;
mod quotas;
mod rank;
mod read;
mod reasons;
mod record;
mod returns;
mod reuse;
mod row;
mod schedules;
mod schema;
mod secrets;
mod session;
mod settle;
mod sharing;
mod software;
mod store;
mod submit;
mod tokens;
mod trials;
mod unpublished;
mod walk;

use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::query_file;
use tokio::time::timeout;

use connections::{Connection, Connections};

pub(crate) use after::After;
pub(crate) use aliases::{AliasRow, AliasSet, PromotedImage};
pub(crate) use attempts::{LastFailure, LiveAttempt, PastAttempt};
pub(crate) use audit::{AuditRow, Deed};
pub(crate) use backup::{BackupSession, RestoreSession};
pub use backup::{Counts, SnapshotFacts};
pub(crate) use cancel::Chosen;
pub(crate) use claim::{Candidate, Claimed, Usage, Want, Written};
pub(crate) use describe::Description;
pub(crate) use error::Error;
pub(crate) use events::{EventPlace, Noted};
pub(crate) use files::{PublishedFile, StoredFile};
pub(crate) use find::{Changeable, Found, Sphere};
pub(crate) use holdouts::{HeldOut, HoldoutRow, SpentLook};
pub(crate) use images::{Added, Archive, ImageRow, LayerId, Part};
pub(crate) use import::{Change, Import, JobMetrics};
pub(crate) use inspect::Inspected;
pub(crate) use joined::{GivenLabels, JoinedRow, Joining};
pub(crate) use keep::{Collectable, Fate, ResultRow};
pub(crate) use limits::Limit;
pub(crate) use maintain::{Documented, Published, Unwritten};
pub(crate) use observe::{OpenJobs, SeenAgents};
pub(crate) use open::AddedJobs;
pub(crate) use outbox::{Due, ToldRow};
pub(crate) use preempt::{Lower, PAUSE};
pub(crate) use progress::{ProgressAt, Said};
pub(crate) use prune::{Pruning, ToJudge};
pub(crate) use quotas::{EVERYBODY, OwnerRow, OwnerUse, Quota, Room, UNLIMITED};
pub(crate) use rank::{MetricOfJob, Reported};
pub(crate) use read::{
    AgentRow, AttemptRow, BestJob, InQueue, JobFilter, JobRow, OutputRow, QueuedSweep, SweepDetails,
    SweepFilter, SweepRow,
};
pub(crate) use record::{News, Recorded, Report};
pub(crate) use returns::{Calendar, CalendarId, JobReturns};
pub(crate) use reuse::{Followed, Pending, Place, Settling, Twin, TwinRow};
pub(crate) use schedules::{NewSchedule, RunRow, ScheduleRow, TakenRun};
pub use schema::{SchemaChange, SchemaStep};
pub(crate) use schema::{SchemaRule, migrate, newest as newest_migration};
pub(crate) use secrets::{KnownSecret, Sealed, SealedSecret, SecretRow, SecretsOfAttempt};
pub(crate) use session::{Beat, Fingerprints, Greeting, Pulse};
pub(crate) use settle::{Fence, Given, Measured, Publication, Settlement};
pub(crate) use sharing::Sharing;
pub(crate) use store::KnownStore;
pub(crate) use submit::{BATCH, Jobs, Submission, Submitted};
pub(crate) use tokens::{Key, LoggedInWith, NewToken, TokenProof, TokenRow};
pub(crate) use trials::{FamilyRow, FamilySweep, TriedJob};
pub(crate) use unpublished::UnpublishedRow;
pub(crate) use walk::Choice;

/// The channel of [`Heard::Ready`].
const READY: &str = "btctl_ready";
/// The channel of [`Heard::Taken`].
const TAKEN: &str = "btctl_taken";

/// Why a sweep is paused that no user has paused; `fail_canary.sql` writes it.
pub(crate) const CANARY_FAILED: &str = "its canary failed";

/// How long nothing may be heard before it is tried whether the session still listens.
const SILENCE: Duration = Duration::from_secs(30);

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// What a batch found of each of its items: one that can't be read fails alone.
type OneByOne<K, T> = Vec<(K, Result<T, Error>)>;

/// The queue's connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    /// For statements that read or change whole sweeps, or filter.
    pool: Connections,
    /// For statements that find every row by a key: all that run often.
    by_key: Connections,
}

impl Queue {
    /// Connects, refuses what it can't work with, and brings the schema up to date under an advisory lock, if it may.
    pub(crate) async fn connect(url: &str, lease: Duration, rule: SchemaRule) -> Result<Self, Error> {
        let options = connections::read_url(url).map_err(Error::NoStart)?;
        let pool = Connections::new(options, lease);
        pool.prepare(&MIGRATOR, rule).await?;
        Ok(Self::over(pool))
    }

    fn over(pool: Connections) -> Self {
        Self { by_key: pool.by_key(), pool }
    }

    /// A session of its own that hears of what other coordinators and clients did.
    pub(crate) async fn listen(&self) -> Result<Notifications, Error> {
        let mut listener = self.pool.listener().await?;
        listener.listen_all([READY, TAKEN]).await?;
        Ok(Notifications { listener })
    }
}

/// What other coordinators and clients did, as far as it was heard.
pub(crate) struct Notifications {
    listener: PgListener,
}

/// What a notification says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Jobs may be ready to be leased.
    Ready,
    /// Attempts may have been taken away from agents. Also said when a lost connection may have hidden anything.
    Taken,
}

impl Notifications {
    pub(crate) async fn next(&mut self) -> Result<Heard, Error> {
        loop {
            return match timeout(SILENCE, self.listener.try_recv()).await {
                Ok(Ok(Some(notification))) if notification.channel() == READY => Ok(Heard::Ready),
                Ok(Ok(_)) => Ok(Heard::Taken),
                Ok(Err(error)) => Err(error.into()),
                Err(_) => {
                    let look =
                        query_file!("queries/connections/look_at_session.sql").fetch_one(&mut self.listener);
                    match timeout(SILENCE, look).await {
                        Ok(Ok(_)) => continue,
                        Ok(Err(error)) => Err(error.into()),
                        Err(_) => Err(Error::Unreachable("the session that listens does not answer".into())),
                    }
                }
            };
        }
    }
}

async fn notify(connection: &mut Connection, channel: &str) -> Result<(), Error> {
    query_file!("queries/connections/notify.sql", channel, "").fetch_all(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
