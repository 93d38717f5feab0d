//! What a user's text means: the one place where names, ids and beginnings of ids become a sweep or an agent.
//!
//! An id wins over a name, and a name over the beginning of an id. A sweep's name means the newest sweep of that name,
//! because the same sweep is submitted again and again. An agent's name means the one that is connected; if several are,
//! it is ambiguous. What is ambiguous is refused with the ids that it may mean, and what is not there with the nearest name.

use std::time::Duration;

use bt_model::id::{AgentId, SweepId};
use bt_model::nearest::nearest;
use jiff::Timestamp;
use sqlx::query_file;
use uuid::Uuid;

use super::claim::interval;
use super::row::{time, unsigned};
use super::{Error, Queue};

/// Names that one is looked for among that may have been meant.
const NAMES: i64 = 1_000;
/// Things that an error lists.
const LISTED: usize = 5;
/// Digits of an id at least.
const DIGITS: usize = 4;

/// A sweep as clients name it, found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) id: SweepId,
    pub(crate) name: String,
    pub(crate) owner: String,
    /// By which its directories are named: the room of an open sweep.
    pub(crate) jobs: u32,
    /// How many jobs it has.
    pub(crate) known: u32,
    /// When its results were given up.
    pub(crate) expired: Option<Timestamp>,
    /// Its jobs may have others' results, or wait for them.
    pub(crate) reuses: bool,
    /// Its name means this one.
    pub(crate) is_newest: bool,
    /// Sweeps of its name.
    pub(crate) same_name: u32,
}

/// Whose sweeps a caller may change.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sphere<'s> {
    Everybodys,
    /// Those of these owners.
    Of(&'s [String]),
}

/// A sweep that the caller may change. Only the check makes one, and all that changes a sweep takes one, so that nobody
/// forgets to check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changeable(SweepId);

impl Changeable {
    /// What the coordinator does by itself.
    pub(crate) fn by_itself(sweep: SweepId) -> Self {
        Self(sweep)
    }

    pub(crate) fn id(self) -> SweepId {
        self.0
    }
}

/// The queue's own tests are about what is done, not about who does it.
#[cfg(test)]
impl From<SweepId> for Changeable {
    fn from(sweep: SweepId) -> Self {
        Self(sweep)
    }
}

impl Found {
    /// Whether a caller may change it.
    pub(crate) fn changeable(&self, sphere: Sphere<'_>) -> Result<Changeable, Error> {
        match sphere {
            Sphere::Of(owners) if !owners.contains(&self.owner) => Err(Error::NotYours {
                sweep: self.name.clone(),
                owner: self.owner.clone(),
                owners: owners.join(", "),
            }),
            Sphere::Of(_) | Sphere::Everybodys => Ok(Changeable(self.id)),
        }
    }

    /// What addresses it in other commands: its name, or its id if the name means a newer one.
    pub(crate) fn address(&self) -> String {
        if self.is_newest { self.name.clone() } else { self.id.to_string() }
    }
}

impl Queue {
    /// Finds a sweep by its id, its name, or the beginning of its id.
    pub(crate) async fn find_sweep(&self, text: &str) -> Result<Found, Error> {
        let (from, to) = ids(text).unzip();
        let mut rows =
            query_file!("queries/find/resolve_sweep.sql", text, from, to).fetch_all(&self.by_key).await?;
        let best = rows.first().map(|row| row.rank);
        rows.retain(|row| Some(row.rank) == best);
        if rows.len() > 1 {
            let of = |row: (Uuid, &str)| format!("{} ({})", row.0, row.1);
            let found = list(rows.iter().map(|row| of((row.id, &row.name))));
            return Err(Error::Ambiguous(format!(
                "{text:?} begins the ids of several sweeps: {found}; give more digits"
            )));
        }
        let Some(row) = rows.pop() else {
            let names =
                query_file!("queries/find/recent_sweep_names.sql", NAMES).fetch_all(&self.pool).await?;
            let near = nearest(text, names.iter().map(|row| row.name.as_str()));
            let hint = near.map_or_else(
                || "`btctl ls --all` lists the sweeps".to_owned(),
                |name| format!("did you mean {name}?"),
            );
            return Err(Error::NoSweep(format!("there is no sweep {text:?}; {hint}")));
        };
        Ok(Found {
            id: SweepId::from_uuid(row.id),
            name: row.name,
            owner: row.owner,
            jobs: unsigned(row.jobs)?,
            known: unsigned(row.known)?,
            expired: row.expired_at.map(time).transpose()?,
            reuses: row.reuses,
            is_newest: row.is_newest,
            same_name: unsigned(row.same_name)?,
        })
    }

    /// Names of sweeps, of the latest, that are like a text or hold it, the nearest first.
    pub(crate) async fn near_sweeps(&self, text: &str, most: usize) -> Result<Vec<String>, Error> {
        let rows = query_file!("queries/find/recent_sweep_names.sql", NAMES).fetch_all(&self.pool).await?;
        let mut names: Vec<String> = rows.into_iter().map(|row| row.name).collect();
        let mut near = Vec::new();
        while near.len() < most
            && let Some(name) = nearest(text, names.iter().map(String::as_str)).map(str::to_owned)
        {
            names.retain(|other| *other != name);
            near.push(name);
        }
        let holds = |name: &String| !text.is_empty() && (name.contains(text) || text.contains(name.as_str()));
        near.extend(names.into_iter().filter(holds));
        near.truncate(most);
        Ok(near)
    }

    /// Finds an agent by its id, its name, or the beginning of its id. Of several of one name it is the connected one,
    /// if there is only one; an agent is not connected when it was silent for `silence`.
    pub(crate) async fn find_agent(&self, text: &str, silence: Duration) -> Result<AgentId, Error> {
        let (from, to) = ids(text).unzip();
        let rows = query_file!("queries/find/find_agents.sql", text, from, to, interval(silence)?);
        let mut rows = rows.fetch_all(&self.by_key).await?;
        let best = rows.first().map(|row| row.rank);
        rows.retain(|row| Some(row.rank) == best);
        if rows.iter().filter(|row| !row.offline).count() == 1 {
            rows.retain(|row| !row.offline);
        }
        if rows.len() > 1 {
            let found = list(rows.iter().map(|row| {
                let state = if row.offline { "offline" } else { "connected" };
                format!("{} ({}, {state})", row.id, row.name)
            }));
            return Err(Error::Ambiguous(match best {
                Some(1) => format!("{text:?} is the name of several agents: {found}; give an id"),
                _ => format!("{text:?} begins the ids of several agents: {found}; give more digits"),
            }));
        }
        if let Some(row) = rows.pop() {
            return Ok(AgentId::from_uuid(row.id));
        }
        let names = query_file!("queries/find/agent_names.sql", NAMES).fetch_all(&self.pool).await?;
        let near = nearest(text, names.iter().map(|row| row.name.as_str()));
        let hint = near.map_or_else(
            || "`btctl agents ls --all` lists the agents".to_owned(),
            |name| format!("did you mean {name}?"),
        );
        Err(Error::NoAgent(format!("there is no agent {text:?}; {hint}")))
    }
}

/// The first and the last id that begins with this text; none if it can't begin one. A whole id begins itself alone.
fn ids(text: &str) -> Option<(Uuid, Uuid)> {
    let digits = text.replace('-', "");
    let is_id = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !is_id || !(DIGITS..=32).contains(&digits.len()) {
        return None;
    }
    let fill = |with: &str| Uuid::try_parse(&(digits.clone() + &with.repeat(32 - digits.len()))).ok();
    Some((fill("0")?, fill("f")?))
}

/// The first things of a list, and how many there are if not all are named.
fn list(things: impl ExactSizeIterator<Item = String>) -> String {
    let all = things.len();
    let named: Vec<_> = things.take(LISTED).collect();
    match all > LISTED {
        true => format!("{}, ... ({all} or more)", named.join(", ")),
        false => named.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_an_id_stands_for_a_range() {
        let range = |text| ids(text).map(|(from, to)| (from.to_string(), to.to_string()));
        let (from, to) = range("AB12-3").unwrap();
        assert_eq!(from, "ab123000-0000-0000-0000-000000000000");
        assert_eq!(to, "ab123fff-ffff-ffff-ffff-ffffffffffff");
        let whole = "ab123fff-ffff-ffff-ffff-ffffffffffff";
        assert_eq!(range(whole), Some((whole.to_owned(), whole.to_owned())));
        for text in ["", "abc", "sma-cross", "ab1_", &"a".repeat(33)] {
            assert_eq!(range(text), None, "{text}");
        }
    }
}
