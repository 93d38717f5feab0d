//! The sweeps whose jobs wait and why, all at once: a page asks for it every few seconds, so that the number of statements
//! does not grow with the number of sweeps.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use bt_documents::Sweep;
use bt_proto::v1::{self, Obstacle};
use tonic::Status;

use super::Clients;
use super::explain::{answers, holds};
use super::shown::sweep;
use crate::queue::{Candidate, QueuedSweep, SweepFilter};
use crate::rpc::status;

/// A sweep with jobs that wait.
pub(crate) struct WaitingSweep {
    pub(crate) sweep: Sweep,
    /// What one of its jobs wants of an agent.
    pub(crate) wanted: Candidate,
    /// How long one of its jobs takes; none before one has succeeded.
    pub(crate) seconds: Option<f64>,
    /// They wait for something else than room: more agents would not help.
    pub(crate) held: bool,
    pub(crate) why: Vec<String>,
}

impl Clients {
    /// The newest so many sweeps that have not finished, of these the ones with jobs that wait, and why; true if there are
    /// more.
    pub(crate) async fn queue_now(&self, most: u32) -> Result<(Vec<WaitingSweep>, bool), Status> {
        let (mut waiting, cut) = self.waiting_sweeps(most).await?;
        if waiting.iter().all(|one| one.held) {
            return Ok((waiting, cut));
        }
        let agents = self.agents().await?;
        for one in waiting.iter_mut().filter(|one| !one.held) {
            let refusals = self.sessions.refusals(one.wanted.sweep);
            one.why = grouped(answers(&agents, &refusals, &one.wanted));
        }
        Ok((waiting, cut))
    }

    /// The same without asking the agents: only those that wait for something else than room say why.
    pub(crate) async fn waiting_sweeps(&self, most: u32) -> Result<(Vec<WaitingSweep>, bool), Status> {
        let mut rows = self.queue.sweeps(&SweepFilter::default(), most + 1).await.map_err(status::queue)?;
        let cut = rows.len() > most as usize;
        rows.truncate(most as usize);
        rows.retain(|row| row.counts[0] > 0);
        if rows.is_empty() {
            return Ok((Vec::new(), cut));
        }
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        let known = self.queue.queued_sweeps(&ids).await.map_err(status::queue)?;
        let mut known: HashMap<_, _> =
            known.into_iter().map(|one| (one.details.candidate.sweep, one)).collect();
        let limits = self.queue.limits().await.map_err(status::queue)?;
        let mut waiting = Vec::new();
        let mut quotas = HashMap::new();
        for row in rows {
            // One that was removed meanwhile.
            let Some(QueuedSweep { details, attached, seconds }) = known.remove(&row.id) else { continue };
            let mut why = holds(&details, row.counts, &limits);
            let wanted = details.candidate;
            why.extend(self.image_refusal(&wanted).await?);
            let Candidate { owner, needs, .. } = &wanted;
            let (quota, used) = match quotas.entry(owner.clone()) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => *new.insert(self.queue.quota_of(owner).await.map_err(status::queue)?),
            };
            why.extend(quota.holds_back(owner, &used, needs.cpu_millis));
            if attached > 0 && attached == row.counts[0] {
                why.push("all that are queued wait for identical jobs".to_owned());
            }
            let held = !why.is_empty();
            let shown = Sweep::try_from(&sweep(row)).map_err(|error| Status::internal(error.to_string()))?;
            waiting.push(WaitingSweep { sweep: shown, wanted, seconds, held, why });
        }
        Ok((waiting, cut))
    }
}

/// What agents say, equal reasons together; nothing if one has room. Those that are away count only where all are.
pub(super) fn grouped(mut said: Vec<v1::Waiting>) -> Vec<String> {
    if said.iter().any(|one| one.obstacle() == Obstacle::None) {
        return Vec::new();
    }
    let is_away = |one: &v1::Waiting| matches!(one.obstacle(), Obstacle::Offline | Obstacle::NotConnected);
    if !said.iter().all(is_away) {
        said.retain(|one| !is_away(one));
    }
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in said {
        groups.entry(one.why).or_default().extend(one.agent);
    }
    let line = |(why, agents): (String, Vec<String>)| match agents.as_slice() {
        [] => why,
        [agent] => format!("{agent}: {why}"),
        agents => format!("{} agents: {why}", agents.len()),
    };
    groups.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(agent: &str, why: &str, obstacle: Obstacle) -> v1::Waiting {
        v1::Waiting {
            agent: Some(agent.to_owned()),
            why: why.to_owned(),
            obstacle: obstacle.into(),
            ..v1::Waiting::default()
        }
    }

    #[test]
    fn equal_reasons_are_one_and_who_is_away_says_nothing_beside_others() {
        let all = [
            said("a", "it is busy", Obstacle::Busy),
            said("b", "it is offline", Obstacle::Offline),
            said("c", "it is busy", Obstacle::Busy),
            said("d", "it is draining", Obstacle::Draining),
        ];
        assert_eq!(grouped(all.to_vec()), ["2 agents: it is busy", "d: it is draining"]);
        assert_eq!(grouped(all[1..2].to_vec()), ["b: it is offline"]);
        let room = said("e", "it has room", Obstacle::None);
        assert!(grouped(all.iter().cloned().chain([room]).collect()).is_empty());
    }
}
