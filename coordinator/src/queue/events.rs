//! What happened, as triggers noted it: read in order, kept for a while.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bt_model::id::SweepId;
use jiff::Timestamp;
use sqlx::query_file;

use super::claim::interval;
use super::row::time;
use super::{Error, Queue};

/// How long events are kept, and how many at most.
const KEPT: Duration = Duration::from_secs(3_600);
const MOST: i64 = 100_000;
/// Events that one pass removes.
const FORGOTTEN: i64 = 5_000;

/// Where an event stands among all: the number of its transaction, then its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EventPlace {
    xact: i64,
    id: i64,
}

/// An event as it was noted.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    pub(crate) place: EventPlace,
    pub(crate) at: Timestamp,
    pub(crate) kind: String,
    pub(crate) sweep: Option<SweepId>,
    /// JSON; its keys depend on the kind.
    pub(crate) body: String,
}

impl fmt::Display for EventPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.xact, self.id)
    }
}

impl FromStr for EventPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('-').map(|(xact, id)| (xact.parse(), id.parse()));
        match parts {
            Some((Ok(xact), Ok(id))) if xact >= 0 && id >= 0 => Ok(Self { xact, id }),
            _ => Err(format!("{text:?} is not the id of an event, such as 1024-17")),
        }
    }
}

impl Queue {
    /// Events behind a place, in their order.
    pub(crate) async fn events_after(&self, place: EventPlace, limit: i64) -> Result<Vec<Noted>, Error> {
        let rows = query_file!("queries/events/after.sql", place.xact, place.id, limit);
        let rows = rows.fetch_all(&self.by_key).await?;
        let noted = rows.into_iter().map(|row| {
            Ok(Noted {
                place: EventPlace { xact: row.xact, id: row.id },
                at: time(row.at)?,
                kind: row.kind,
                sweep: row.sweep_id.map(SweepId::from_uuid),
                body: row.body,
            })
        });
        noted.collect()
    }

    /// Of the latest event; the beginning where there is none.
    pub(crate) async fn newest_event(&self) -> Result<EventPlace, Error> {
        let row = query_file!("queries/events/newest.sql").fetch_optional(&self.by_key).await?;
        Ok(row.map_or(EventPlace::default(), |row| EventPlace { xact: row.xact, id: row.id }))
    }

    /// Of the oldest event that is kept.
    pub(crate) async fn oldest_event(&self) -> Result<Option<EventPlace>, Error> {
        let row = query_file!("queries/events/oldest.sql").fetch_optional(&self.by_key).await?;
        Ok(row.map(|row| EventPlace { xact: row.xact, id: row.id }))
    }

    /// Removes some of the old events. True if there may be more of them.
    pub(crate) async fn forget_events(&self) -> Result<bool, Error> {
        let forgotten = query_file!("queries/events/forget.sql", interval(KEPT)?, MOST, FORGOTTEN);
        let removed = forgotten.execute(&self.by_key).await?.rows_affected();
        Ok(removed >= FORGOTTEN.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let place = EventPlace { xact: 1024, id: 17 };
        assert_eq!(place.to_string().parse(), Ok(place));
        assert!(EventPlace { xact: 9, id: 200 } < EventPlace { xact: 10, id: 1 });
        for wrong in ["", "17", "1-", "-1", "1--2", "a-b", "99999999999999999999-1"] {
            assert!(wrong.parse::<EventPlace>().is_err(), "{wrong}");
        }
    }
}
