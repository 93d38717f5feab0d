//! Which jobs for which agent. Pure: it sees sweeps, never single jobs, because all jobs of a sweep need the same.
//!
//! Order: priority first; among equals the owner with the fewest running jobs, then the sweep with the fewest, then
//! the oldest. Every job planned counts as running for the next choice, so that owners and sweeps take turns.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use bt_model::id::SweepId;
use bt_model::resources::Resources;

use crate::queue::Candidate;

/// What an agent has to give.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offer {
    pub(crate) capacity: Resources,
    pub(crate) free: Resources,
    pub(crate) labels: BTreeMap<String, String>,
    /// Name of each volume, and whether it is offered read-only.
    pub(crate) volumes: BTreeMap<String, bool>,
}

/// Why an agent can't run a sweep's jobs, now or ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// It lacks a label, or has it with another value.
    Label {
        wanted: String,
        value: String,
        has: Option<String>,
    },
    Volume {
        wanted: String,
    },
    /// It offers the volume read-only, and the job wants to write.
    ReadOnly {
        wanted: String,
    },
    /// It is smaller than the job.
    TooSmall {
        need: Resources,
        capacity: Resources,
    },
    /// It is large enough but busy.
    Busy {
        need: Resources,
        free: Resources,
    },
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label { wanted, value, has: None } => {
                write!(f, "it has no label {wanted}={value}")
            }
            Self::Label { wanted, value, has: Some(has) } => {
                write!(f, "its label {wanted} is {has}, not {value}")
            }
            Self::Volume { wanted } => write!(f, "it offers no volume {wanted}"),
            Self::ReadOnly { wanted } => {
                write!(f, "it offers volume {wanted} read-only, and the job wants to write to it")
            }
            Self::TooSmall { need, capacity } => {
                write!(f, "a job needs {need}, and it has {capacity} in all")
            }
            Self::Busy { need, free } => {
                write!(f, "it is busy: a job needs {need}, and {free} is free")
            }
        }
    }
}

/// Why this agent can't take a job of this sweep now; none if it can.
pub(crate) fn misfit(offer: &Offer, sweep: &Candidate) -> Option<Misfit> {
    for (wanted, value) in &sweep.labels {
        let has = offer.labels.get(wanted);
        if has != Some(value) {
            return Some(Misfit::Label { wanted: wanted.clone(), value: value.clone(), has: has.cloned() });
        }
    }
    for (wanted, read_only) in &sweep.volumes {
        let wanted = wanted.clone();
        match offer.volumes.get(&wanted) {
            None => return Some(Misfit::Volume { wanted }),
            Some(true) if !read_only => return Some(Misfit::ReadOnly { wanted }),
            Some(_) => {}
        }
    }
    let need = sweep.needs;
    if !offer.capacity.covers(&need) {
        let capacity = offer.capacity;
        return Some(Misfit::TooSmall { need, capacity });
    }
    if !offer.free.covers(&need) {
        let free = offer.free;
        return Some(Misfit::Busy { need, free });
    }
    None
}

/// How many jobs of which sweep to claim for which agent, at most `limit` in all. `owners` holds the running jobs of
/// each owner. Each job goes to the agent with the most cpus free, so that work spreads.
pub(crate) fn plan<A: Copy + PartialEq>(
    agents: &[(A, Offer)],
    sweeps: &[Candidate],
    owners: &HashMap<String, u64>,
    limit: u32,
) -> Vec<(A, SweepId, u32)> {
    let mut agents = agents.to_vec();
    let mut owners = owners.clone();
    let mut sweeps: Vec<_> = sweeps.iter().map(|sweep| (sweep, sweep.running)).collect();
    let mut planned: Vec<(A, SweepId, u32)> = Vec::new();
    let mut left = limit;
    while left > 0 {
        let rank = |(sweep, running): &(&Candidate, u64)| {
            let owner = owners.get(&sweep.owner).copied().unwrap_or(0);
            (-i64::from(sweep.priority), owner, *running)
        };
        // The first of several equals is the oldest, because the candidates come in that order.
        let Some(best) = (0..sweeps.len()).min_by_key(|index| rank(&sweeps[*index])) else {
            break;
        };
        let sweep = sweeps[best].0;
        let fits = |(_, offer): &&mut (A, Offer)| misfit(offer, sweep).is_none();
        let roomiest = agents.iter_mut().filter(fits);
        let Some((agent, offer)) = roomiest.max_by_key(|(_, offer)| offer.free.cpu_millis) else {
            sweeps.remove(best);
            continue;
        };
        offer.free = offer.free.less(&sweep.needs);
        sweeps[best].1 += 1;
        *owners.entry(sweep.owner.clone()).or_default() += 1;
        let same = |(a, s, _): &&mut (A, SweepId, u32)| a == agent && *s == sweep.sweep;
        match planned.iter_mut().find(same) {
            Some((.., jobs)) => *jobs += 1,
            None => planned.push((*agent, sweep.sweep, 1)),
        }
        left -= 1;
    }
    planned
}

#[cfg(test)]
mod tests;
