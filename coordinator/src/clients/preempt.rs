//! What a sweep that asks for room (`preempt`) would end for it, in words.

use std::collections::HashSet;
use std::sync::Arc;

use tonic::Status;

use super::Clients;
use super::explain::{AgentState, state};
use crate::queue::{Candidate, Lower};
use crate::rpc::status;
use crate::scheduling::{MOST_PREEMPTIONS, Preemption, Seat, make_room, may_end};

/// Jobs that are named.
const NAMED: usize = 5;

impl Clients {
    /// What ends for the sweep's next job, or why nothing does; nothing to say of a sweep that does not ask, or that has room.
    pub(super) async fn what_it_preempts(
        &self,
        sweep: &Candidate,
        is_held: bool,
    ) -> Result<Option<String>, Status> {
        if !sweep.preempts {
            return Ok(None);
        }
        let nothing = |why: &str| Ok(Some(format!("it may preempt nothing: {why}")));
        if is_held {
            return nothing("more room would not help it");
        }
        if self.preemption == Preemption::Off {
            return nothing("this coordinator has --preemption off");
        }
        let refusals = self.sessions.refusals(sweep.sweep);
        let agents = self.agents().await?.into_iter();
        let ready = agents
            .filter(|(row, _)| matches!(state(row), AgentState::Ready) && !refusals.contains_key(&row.id));
        let (mut rows, mut seats) = (Vec::new(), Vec::new());
        for (row, used) in ready {
            let seat = Seat {
                free: row.capacity.less(&used.resources),
                offer: Arc::new(row.offer()),
                ran: Arc::default(),
                refuses: HashSet::new(),
                kept_for: None,
            };
            if seat.suits(sweep) {
                rows.push(row);
                seats.push(seat);
            }
        }
        if seats.is_empty() {
            return nothing("no agent could run it if it were idle");
        }
        if seats.iter().any(|seat| seat.has_room_for(sweep)) {
            return Ok(None);
        }
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        let lower = self.queue.lower_jobs(&ids, sweep.priority).await.map_err(status::queue)?;
        if lower.is_empty() {
            return nothing(&format!("no job of a priority below {} runs where it could", sweep.priority));
        }
        let reached = lower.into_iter().filter(|lower| self.preemption.reaches(sweep, lower));
        let reached: Vec<_> = reached.collect();
        if reached.is_empty() {
            let owner = &sweep.owner;
            return nothing(&format!(
                "no job of {owner} with a lower priority runs where it could, and this coordinator has --preemption own"
            ));
        }
        let seat_of = |lower: Lower| Some((ids.iter().position(|id| *id == lower.agent)?, lower));
        let lower: Vec<_> = reached.into_iter().filter(may_end).filter_map(seat_of).collect();
        if lower.is_empty() {
            return nothing(&format!(
                "what runs of a lower priority publishes its outputs, or has been preempted {MOST_PREEMPTIONS} times, the most \
                 that a job is"
            ));
        }
        let making = make_room(seats, sweep, &lower, 1);
        let Some(making) = making.first() else {
            return nothing("to end all that it may end would not make enough room");
        };
        let ended: Vec<_> = making.lower.iter().map(|index| &lower[*index].1).collect();
        let mut names: Vec<_> =
            ended.iter().take(NAMED).map(|one| format!("{}/{}", one.sweep_name, one.job)).collect();
        if ended.len() > NAMED {
            names.push(format!("{} more", ended.len() - NAMED));
        }
        Ok(Some(format!("it will preempt {} on agent {}", names.join(", "), rows[making.seat].name)))
    }
}
