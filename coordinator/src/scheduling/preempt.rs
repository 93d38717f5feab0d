//! Which running jobs make room for those of a sweep of a higher priority: as few as it takes, of the lowest priority first, and
//! of these the ones that have run for the shortest time. Pure.

use std::cmp::Reverse;

use super::Seat;
use crate::queue::{Candidate, Lower};

/// How often a job is ended to make room; after that it runs to its end.
pub(crate) const MOST_PREEMPTIONS: u32 = 3;

/// Whose jobs a sweep may end that asks for room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Preemption {
    /// Those of its own owner.
    #[default]
    Own,
    /// Those of all owners.
    All,
    /// Nobody's.
    Off,
}

impl Preemption {
    /// True if what runs there may make room for the sweep as far as its owner goes.
    pub(crate) fn reaches(self, sweep: &Candidate, lower: &Lower) -> bool {
        lower.priority < sweep.priority
            && match self {
                Self::Own => lower.owner == sweep.owner,
                Self::All => true,
                Self::Off => false,
            }
    }
}

/// True if it may be ended now, whoever asks.
pub(crate) fn may_end(lower: &Lower) -> bool {
    !lower.publishes && lower.preempted < MOST_PREEMPTIONS
}

/// Jobs that are to be ended on one agent for one container of a sweep: indices into what was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Making {
    pub(crate) seat: usize,
    pub(crate) lower: Vec<usize>,
}

/// What to end for so many containers of the sweep. `lower` has the seat of each, and is in the order in which they are to be
/// ended. Containers that find room without are not among the answers.
pub(crate) fn make_room(
    mut seats: Vec<Seat>,
    sweep: &Candidate,
    lower: &[(usize, Lower)],
    containers: u32,
) -> Vec<Making> {
    let mut left: Vec<Vec<usize>> = vec![Vec::new(); seats.len()];
    for (index, (seat, _)) in lower.iter().enumerate() {
        if let Some(of_seat) = left.get_mut(*seat) {
            of_seat.push(index);
        }
    }
    let fits: Vec<usize> = (0..seats.len()).filter(|index| seats[*index].suits(sweep)).collect();
    let mut making = Vec::new();
    for _ in 0..containers {
        if let Some(seat) =
            fits.iter().find(|seat| seats[**seat].is_open_to(sweep) && seats[**seat].has_room_for(sweep))
        {
            seats[*seat].take(sweep);
            continue;
        }
        let open = fits.iter().filter(|seat| seats[**seat].is_open_to(sweep));
        let ways = open.filter_map(|seat| {
            let ended = least(&seats[*seat], sweep, lower, &left[*seat])?;
            let jobs: usize = ended.iter().map(|index| lower[*index].1.attempts.len()).sum();
            let highest = ended.iter().map(|index| lower[*index].1.priority).max();
            let lost: std::time::Duration = ended.iter().map(|index| lower[*index].1.ran).sum();
            Some(((jobs, highest, lost), Making { seat: *seat, lower: ended }))
        });
        let Some((_, best)) = ways.min_by(|(one, _), (other, _)| one.cmp(other)) else { break };
        for index in &best.lower {
            seats[best.seat].free = seats[best.seat].free.plus(&lower[*index].1.takes);
        }
        seats[best.seat].take(sweep);
        left[best.seat].retain(|index| !best.lower.contains(index));
        making.push(best);
    }
    making
}

/// The fewest of these whose end makes room on this agent; none if all are not enough.
fn least(seat: &Seat, sweep: &Candidate, lower: &[(usize, Lower)], here: &[usize]) -> Option<Vec<usize>> {
    let with = |ended: &[usize]| {
        let free = ended.iter().fold(seat.free, |free, index| free.plus(&lower[*index].1.takes));
        free.covers(&seat.offer.needs(&sweep.needs))
    };
    // A batch loses more jobs than one that runs by itself.
    let alone = here.iter().filter(|index| with(&[**index]));
    if let Some(one) = alone.min_by_key(|index| lower[**index].1.attempts.len()) {
        return Some(vec![*one]);
    }
    let mut ended = Vec::new();
    for index in here {
        ended.push(*index);
        if with(&ended) {
            break;
        }
    }
    if !with(&ended) {
        return None;
    }
    // What came first may have become needless; what would lose most is spared first.
    let mut spared = ended.clone();
    spared.sort_by_key(|index| Reverse((lower[*index].1.priority, lower[*index].1.ran)));
    for index in spared {
        let without: Vec<_> = ended.iter().copied().filter(|other| *other != index).collect();
        if with(&without) {
            ended = without;
        }
    }
    Some(ended)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;
    use std::time::Duration;

    use bt_model::id::{AgentId, AttemptId};
    use bt_model::placement::Offer;
    use bt_model::resources::Resources;

    use super::*;

    const fn cpus(cpus: u64) -> Resources {
        Resources { cpu_millis: cpus * 1000, memory_bytes: 0, gpus: 0, disk_bytes: 0, jobs: 0 }
    }

    fn busy(free: u64) -> Seat {
        let offer = Offer { capacity: cpus(8), ..Offer::default() };
        let (offer, free) = (Arc::new(offer), cpus(free));
        Seat { offer, free, ran: Arc::default(), refuses: HashSet::new(), kept_for: None }
    }

    fn wants(size: u64) -> Candidate {
        Candidate { needs: cpus(size), ..crate::scheduling::tests::sweep("ann", 5, 0) }
    }

    fn lower(seat: usize, size: u64, priority: i32, minutes: u64, jobs: usize) -> (usize, Lower) {
        let lower = Lower {
            agent: AgentId::random(),
            attempts: (0..jobs).map(|_| AttemptId::random()).collect(),
            sweep_name: "s".to_owned(),
            job: 0,
            owner: "ann".to_owned(),
            priority,
            takes: cpus(size),
            publishes: false,
            ran: Duration::from_secs(minutes * 60),
            preempted: 0,
        };
        (seat, lower)
    }

    /// In the order in which Postgres gives them.
    fn made(
        seats: &[Seat],
        size: u64,
        mut lower: Vec<(usize, Lower)>,
        containers: u32,
    ) -> Vec<Vec<(i32, u64)>> {
        lower.sort_by_key(|(_, one)| (one.priority, one.ran));
        let making = make_room(seats.to_vec(), &wants(size), &lower, containers);
        let told = |making: Making| {
            let of = |index: usize| (lower[index].1.priority, lower[index].1.ran.as_secs() / 60);
            making.lower.into_iter().map(of).collect()
        };
        making.into_iter().map(told).collect()
    }

    #[test]
    fn the_lowest_priority_ends_first_and_of_it_what_ran_for_the_shortest_time() {
        let seats = [busy(0), busy(0)];
        let all =
            vec![lower(0, 1, 1, 1, 1), lower(0, 1, 0, 9, 1), lower(1, 1, 0, 5, 1), lower(1, 1, 2, 0, 1)];
        assert_eq!(made(&seats, 1, all.clone(), 1), [[(0, 5)]]);
        assert_eq!(made(&seats, 1, all.clone(), 3), [[(0, 5)], [(0, 9)], [(1, 1)]]);
        assert_eq!(made(&seats, 1, all, 9).len(), 4);
    }

    #[test]
    fn no_more_end_than_it_takes() {
        // One that is large enough, instead of two.
        let all = vec![lower(0, 1, 0, 1, 1), lower(0, 1, 0, 2, 1), lower(0, 2, 0, 3, 1)];
        assert_eq!(made(&[busy(0)], 2, all.clone(), 1), [[(0, 3)]]);
        // What is free already counts, and so does what one that ended leaves over.
        assert_eq!(made(&[busy(1)], 2, all.clone(), 1), [[(0, 1)]]);
        assert_eq!(made(&[busy(0)], 1, vec![lower(0, 3, 0, 1, 1)], 3), [[(0, 1)]]);
        assert_eq!(made(&[busy(2)], 2, all.clone(), 1).len(), 0);
        // The first ones that were looked at turn out to be needless.
        let mixed = vec![lower(0, 1, 0, 1, 1), lower(0, 3, 1, 2, 1), lower(0, 2, 1, 3, 1)];
        assert_eq!(made(&[busy(0)], 4, mixed, 1), [[(0, 1), (1, 2)]]);
        // All of them together are not enough: nothing ends in vain.
        assert_eq!(made(&[busy(0)], 5, all, 1).len(), 0);
        // A batch loses all of its jobs.
        assert_eq!(made(&[busy(0)], 1, vec![lower(0, 1, 0, 1, 4), lower(0, 1, 0, 9, 1)], 1), [[(0, 9)]]);
    }

    #[test]
    fn whose_jobs_end_is_the_operators_to_say() {
        let (_, mut one) = lower(0, 1, 0, 1, 1);
        let reaches = |preemption: Preemption, one: &Lower| preemption.reaches(&wants(1), one);
        assert!(
            reaches(Preemption::Own, &one)
                && reaches(Preemption::All, &one)
                && !reaches(Preemption::Off, &one)
        );
        one.priority = 5;
        assert!(!reaches(Preemption::Own, &one) && !reaches(Preemption::All, &one));
        (one.priority, one.owner) = (4, "bob".to_owned());
        assert!(!reaches(Preemption::Own, &one) && reaches(Preemption::All, &one));
        one.preempted = MOST_PREEMPTIONS - 1;
        assert!(may_end(&one));
        one.preempted = MOST_PREEMPTIONS;
        assert!(!may_end(&one));
        (one.preempted, one.publishes) = (0, true);
        assert!(!may_end(&one));
    }

    #[test]
    fn room_that_was_made_is_not_for_a_lower_priority() {
        let (maker, mut other) = (wants(1), wants(1));
        let seat = Seat { kept_for: Some((maker.sweep, maker.priority)), ..busy(1) };
        let planned = |sweep: &Candidate| {
            let state = crate::scheduling::State::default();
            crate::scheduling::plan(vec![seat.clone()], std::slice::from_ref(sweep), &state, 9).jobs
        };
        assert_eq!((planned(&maker), planned(&other)), (1, 0));
        other.priority = 6;
        assert_eq!(planned(&other), 1);
    }
}
