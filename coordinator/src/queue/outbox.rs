//! What is to be told of sweeps, and to whom. It is written down in the transaction that makes it true, and taken from here by
//! whichever coordinator gets to it.

use std::time::Duration;

use bt_model::id::SweepId;
use bt_model::state::SweepEvent;
use jiff::Timestamp;
use sqlx::query_file;
use uuid::Uuid;

use super::claim::interval;
use super::connections::Transaction;
use super::row::{Pg, signed, time, unsigned};
use super::{Error, Queue};

/// A message that is due, to one receiver.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    /// The same for all receivers, and for all tries.
    pub(crate) event_id: Uuid,
    /// Of the receiver among the sweep's, from 1 on.
    pub(crate) place: i32,
    /// This try's number, from 1 on.
    pub(crate) tries: u32,
    pub(crate) receiver: Address,
    pub(crate) host: String,
    pub(crate) event: SweepEvent,
    pub(crate) happened: Timestamp,
    pub(crate) sweep: SweepId,
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) submitted: Timestamp,
    /// Why the coordinator cancelled it, if it did.
    pub(crate) cancel_reason: String,
    /// Jobs in each state when it happened, in the order of `JobState::ALL`.
    pub(crate) counts: [u32; 6],
}

/// As it was submitted. It may hold a secret, so that it is not to be printed.
#[derive(Clone)]
pub(crate) struct Address(pub(crate) String);

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&bt_model::manifest::mask_address(&self.0))
    }
}

/// What became of a message.
#[derive(Clone, Debug)]
pub(crate) struct ToldRow {
    pub(crate) event_id: Uuid,
    pub(crate) event: SweepEvent,
    pub(crate) happened: Timestamp,
    pub(crate) receiver: Address,
    pub(crate) tries: u32,
    pub(crate) due: Timestamp,
    pub(crate) last_error: Option<String>,
    pub(crate) delivered: Option<Timestamp>,
    pub(crate) given_up: Option<Timestamp>,
}

/// Writes down in the sweep's own transaction what is to be told of it.
pub(super) async fn write_event(tx: &mut Transaction, sweep: Uuid, event: SweepEvent) -> Result<(), Error> {
    query_file!("queries/outbox/write_event.sql", sweep, Uuid::new_v4(), Pg(event) as _)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

impl Queue {
    /// Takes messages that are due, one of each host that this coordinator is not `busy` with. Nobody else takes them for
    /// as long as `lease`.
    pub(crate) async fn take_due(
        &self,
        limit: usize,
        busy: &[String],
        lease: Duration,
    ) -> Result<Vec<Due>, Error> {
        let limit = signed::<i64>(limit as u64)?;
        let rows = query_file!("queries/outbox/take_due.sql", limit, busy, interval(lease)?);
        let rows = rows.fetch_all(&self.pool).await?;
        rows.into_iter()
            .map(|row| {
                Ok(Due {
                    event_id: row.event_id,
                    place: row.place,
                    tries: unsigned(row.tries)?,
                    receiver: Address(row.receiver),
                    host: row.host,
                    event: row.event.0,
                    happened: time(row.happened_at)?,
                    sweep: SweepId::from_uuid(row.sweep_id),
                    name: row.name,
                    owner: row.owner,
                    submitted: time(row.created_at)?,
                    cancel_reason: row.cancel_reason,
                    counts: [
                        unsigned(row.queued)?,
                        unsigned(row.running)?,
                        unsigned(row.succeeded)?,
                        unsigned(row.failed)?,
                        unsigned(row.cancelled)?,
                        unsigned(row.pruned)?,
                    ],
                })
            })
            .collect()
    }

    pub(crate) async fn note_delivered(&self, due: &Due) -> Result<(), Error> {
        query_file!("queries/outbox/delivered.sql", due.event_id, due.place).execute(&self.by_key).await?;
        Ok(())
    }

    /// Notes why a try failed. The next is made after `pause`, if it is worth one and none has succeeded for less than
    /// `longest`. True if it is given up.
    pub(crate) async fn note_failed(
        &self,
        due: &Due,
        why: &str,
        pause: Duration,
        is_last: bool,
        longest: Duration,
    ) -> Result<bool, Error> {
        let noted = query_file!(
            "queries/outbox/failed.sql",
            due.event_id,
            due.place,
            signed::<i32>(due.tries)?,
            why,
            interval(pause)?,
            is_last,
            interval(longest)?
        );
        let noted = noted.fetch_optional(&self.by_key).await?;
        Ok(noted.is_some_and(|row| row.given_up))
    }

    /// What was and is to be told of a sweep, the latest event first.
    pub(crate) async fn told(&self, sweep: SweepId) -> Result<Vec<ToldRow>, Error> {
        let rows =
            query_file!("queries/outbox/told_of_sweep.sql", sweep.uuid()).fetch_all(&self.by_key).await?;
        rows.into_iter()
            .map(|row| {
                Ok(ToldRow {
                    event_id: row.event_id,
                    event: row.event.0,
                    happened: time(row.happened_at)?,
                    receiver: Address(row.receiver),
                    tries: unsigned(row.tries)?,
                    due: time(row.due_at)?,
                    last_error: row.last_error,
                    delivered: row.delivered_at.map(time).transpose()?,
                    given_up: row.given_up_at.map(time).transpose()?,
                })
            })
            .collect()
    }
}
