//! Which jobs for which agent. Pure: it sees sweeps, never single jobs, because all jobs of a sweep need the same.
//!
//! Order: priority first; among equals the owner with the fewest running jobs (and those that it had lately, where that is
//! remembered), then the sweep with the fewest, then the oldest. Every job planned counts as running for the next choice, so that owners and sweeps take turns. A sweep
//! that has waited long because its jobs are large gets an agent of its own to wait for: nothing else is put there.

mod preempt;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bt_model::id::SweepId;
use bt_model::placement::{Misfit, Offer};
use bt_model::resources::Resources;

use crate::queue::{Candidate, Room};

pub use preempt::Preemption;
pub(crate) use preempt::{MOST_PREEMPTIONS, make_room, may_end};

/// An agent that jobs can be planned for.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) offer: Arc<Offer>,
    pub(crate) free: Resources,
    /// Sweeps whose image it has got since it connected.
    pub(crate) ran: Arc<HashSet<SweepId>>,
    /// Sweeps whose jobs it could not start a moment ago.
    pub(crate) refuses: HashSet<SweepId>,
    /// Room was made here for this sweep: nobody else gets any but of a priority higher than this.
    pub(crate) kept_for: Option<(SweepId, i32)>,
}

impl Seat {
    /// True unless room was made here for another sweep.
    fn is_open_to(&self, sweep: &Candidate) -> bool {
        self.kept_for.is_none_or(|(kept, priority)| kept == sweep.sweep || sweep.priority > priority)
    }

    /// True if nothing but room could keep a job of the sweep from starting here.
    pub(crate) fn suits(&self, sweep: &Candidate) -> bool {
        !self.refuses.contains(&sweep.sweep) && self.offer.lasting_misfit(&sweep.need()).is_none()
    }

    pub(crate) fn has_room_for(&self, sweep: &Candidate) -> bool {
        self.free.covers(&self.offer.needs(&sweep.needs))
    }

    /// Counts a job of the sweep as running here.
    pub(crate) fn take(&mut self, sweep: &Candidate) {
        self.free = self.free.less(&self.offer.needs(&sweep.needs));
    }

    fn has_image_of(&self, sweep: &Candidate) -> bool {
        let has = |pin: &String| self.offer.images.contains(pin);
        self.ran.contains(&sweep.sweep) || sweep.image_pin.as_ref().is_some_and(has)
    }
}

/// Why an agent can't take a job of this sweep now; none if it can.
pub(crate) fn misfit(offer: &Offer, free: &Resources, sweep: &Candidate) -> Option<Misfit> {
    offer.misfit(free, &sweep.need())
}

/// Parts of a container that shares are counted in.
pub(crate) const CONTAINER: u64 = 1_000;

/// The share of an owner with so many containers, and so many lately on average.
pub(crate) fn share(running: u64, lately: f64) -> u64 {
    running.saturating_mul(CONTAINER).saturating_add((lately * CONTAINER as f64) as u64)
}

/// What the plan is made from, besides the agents and the sweeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// What each owner has running and had lately, in parts of a [`CONTAINER`].
    pub(crate) owners: HashMap<String, u64>,
    /// How much more each owner may start that has a quota.
    pub(crate) quotas: HashMap<String, Room>,
    /// What is left of each limit that is set.
    pub(crate) limits: HashMap<String, u32>,
    /// Sweeps that have waited too long for an agent to become free enough.
    pub(crate) starved: HashSet<SweepId>,
}

/// How many jobs of which sweep to claim for which agent: indices into what was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// By sweep: agents, and how many jobs for each. At least one.
    pub(crate) claims: BTreeMap<usize, BTreeMap<usize, u32>>,
    pub(crate) jobs: u32,
    /// Sweeps that found every agent that could run their jobs busy.
    pub(crate) waiting: Vec<SweepId>,
    /// How many sweeps found no agent that could run their jobs.
    pub(crate) unfit: usize,
}

/// A sweep that still has jobs to be planned.
struct Lane<'c> {
    index: usize,
    sweep: &'c Candidate,
    /// Containers of it, where jobs run in batches.
    running: u64,
    /// Jobs of it that may still be planned.
    room: u32,
    /// The agents that could run its jobs if they were free; found when they are first asked for.
    fits: Option<Vec<usize>>,
}

/// Plans at most `limit` jobs, and the rest of the last batch. Each goes to an agent that has its image already, if there
/// is one, and of these to the one with the most cpus free, so that work spreads.
pub(crate) fn plan(mut seats: Vec<Seat>, sweeps: &[Candidate], state: &State, limit: u32) -> Plan {
    let mut state = state.clone();
    let mut reserved = HashSet::new();
    let mut lanes: Vec<_> = sweeps.iter().enumerate().map(|(index, sweep)| Lane::of(index, sweep)).collect();
    let mut plan = Plan::default();
    while plan.jobs < limit {
        let rank = |lane: &Lane<'_>| {
            let owner = state.owners.get(&lane.sweep.owner).copied().unwrap_or(0);
            (-i64::from(lane.sweep.priority), owner, lane.running)
        };
        // The first of several equals is the oldest, because the candidates come in that order.
        let Some(best) = (0..lanes.len()).min_by_key(|index| rank(&lanes[*index])) else {
            break;
        };
        let lane = &mut lanes[best];
        let sweep = lane.sweep;
        if lane.room == 0 || !state.allows(sweep) || !state.has_quota_for(sweep) {
            lanes.remove(best);
            continue;
        }
        let fits = lane
            .fits
            .get_or_insert_with(|| (0..seats.len()).filter(|index| seats[*index].suits(sweep)).collect());
        let is_open = |seat: &usize| !reserved.contains(seat) && seats[*seat].is_open_to(sweep);
        let open = fits.iter().copied().filter(is_open);
        let free = open.clone().filter(|seat| seats[*seat].has_room_for(sweep));
        let chosen = free.max_by_key(|seat| (seats[*seat].has_image_of(sweep), seats[*seat].free.cpu_millis));
        let Some(seat) = chosen else {
            match fits.is_empty() {
                true => plan.unfit += 1,
                false => plan.waiting.push(sweep.sweep),
            }
            if state.starved.contains(&sweep.sweep)
                && let Some(seat) = open.max_by_key(|seat| seats[*seat].free.cpu_millis)
            {
                reserved.insert(seat);
            }
            lanes.remove(best);
            continue;
        };
        seats[seat].take(sweep);
        // A batch takes the place of one job, and is planned whole.
        let mut jobs = 0;
        let most = state.quotas.get(&sweep.owner).map_or(u64::MAX, |room| room.jobs);
        while jobs < sweep.batch.unwrap_or(1).min(lane.room) && u64::from(jobs) < most && state.allows(sweep)
        {
            state.take_limits(sweep);
            jobs += 1;
        }
        state.take_quota(&sweep.owner, jobs, sweep.needs.cpu_millis);
        *state.owners.entry(sweep.owner.clone()).or_default() += CONTAINER;
        lane.running += 1;
        lane.room -= jobs;
        *plan.claims.entry(lane.index).or_default().entry(seat).or_default() += jobs;
        plan.jobs += jobs;
    }
    plan
}

impl<'c> Lane<'c> {
    fn of(index: usize, sweep: &'c Candidate) -> Self {
        let parallel = sweep.max_parallel.map_or(u32::MAX, |most| most.saturating_sub(sweep.running));
        let room = sweep.queued.min(parallel).min(sweep.canary.unwrap_or(u32::MAX));
        let running = sweep.running.div_ceil(sweep.batch.unwrap_or(1).max(1)).into();
        Self { index, sweep, running, room, fits: None }
    }
}

impl State {
    /// How many more jobs of this sweep limits, quota and its own manifest let start.
    pub(crate) fn jobs_allowed(&self, sweep: &Candidate) -> u32 {
        let of_limit =
            |(name, amount): (&String, &u32)| self.limits.get(name).map_or(0, |left| left / (*amount).max(1));
        let by_limits = sweep.limits.iter().map(of_limit).min().unwrap_or(u32::MAX);
        let batch = u64::from(sweep.batch.unwrap_or(1).max(1));
        let by_quota = self.quotas.get(&sweep.owner).map_or(u64::MAX, |room| {
            room.jobs.min((room.cpu_millis / sweep.needs.cpu_millis.max(1)).saturating_mul(batch))
        });
        Lane::of(0, sweep).room.min(by_limits).min(u32::try_from(by_quota).unwrap_or(u32::MAX))
    }

    /// True if the limits leave room for one more job of this sweep.
    fn allows(&self, sweep: &Candidate) -> bool {
        sweep.limits.iter().all(|(name, amount)| self.limits.get(name).is_some_and(|left| left >= amount))
    }

    /// True if the owner's quota leaves room for one more job, and for its cpus.
    fn has_quota_for(&self, sweep: &Candidate) -> bool {
        let room = self.quotas.get(&sweep.owner);
        room.is_none_or(|room| room.jobs > 0 && room.cpu_millis >= sweep.needs.cpu_millis)
    }

    /// Counts so many jobs in containers with so many cpus as running.
    pub(crate) fn take_quota(&mut self, owner: &str, jobs: u32, cpu_millis: u64) {
        if let Some(room) = self.quotas.get_mut(owner) {
            room.jobs = room.jobs.saturating_sub(jobs.into());
            room.cpu_millis = room.cpu_millis.saturating_sub(cpu_millis);
        }
    }

    fn take_limits(&mut self, sweep: &Candidate) {
        for (name, amount) in &sweep.limits {
            if let Some(left) = self.limits.get_mut(name) {
                *left = left.saturating_sub(*amount);
            }
        }
    }
}

#[cfg(test)]
mod tests;
