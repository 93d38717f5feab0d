//! What agents report, written down: reports of any number of agents share one transaction.

use std::collections::{BTreeMap, HashMap, HashSet};

use bt_model::id::{AgentId, AttemptId};
use bt_model::retry::Ending;
use bt_model::state::{AttemptEvent, AttemptState};
use sqlx::query_file;

use super::connections::Connection;
use super::row::{Pg, signed};
use super::settle::{Fence, Given, Measured, Publication, Settlement, settle_in};
use super::{Error, Queue, measured};

/// What an agent reports of one of its attempts.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) agent: AgentId,
    pub(crate) session: u64,
    pub(crate) attempt: AttemptId,
    pub(crate) news: News,
}

#[derive(Clone, Debug)]
pub(crate) enum News {
    /// It has come further; the image that its container runs, if that is known now.
    Advanced { event: AttemptEvent, image_id: Option<String> },
    Ended {
        ending: Ending,
        publication: Publication,
        /// What its container ran, if that was not reported before.
        image_id: Option<String>,
        measured: Measured,
        given: Box<Given>,
        /// What its owner should know besides how it ended.
        remark: String,
    },
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// It is written down, now or from before; false if the attempt was not the agent's any more.
    Done(bool),
    /// The agent has opened a newer session.
    Superseded,
}

impl Queue {
    /// Writes down what agents report, all in one transaction. The answers are in the order of the reports; when this
    /// returns, it is committed.
    pub(crate) async fn record(&self, reports: &[Report]) -> Result<Vec<Recorded>, Error> {
        let mut tx = self.by_key.begin().await?;
        let current = hold_sessions(&mut tx, reports).await?;
        let is_current = |report: &Report| current.get(&report.agent) == Some(&report.session);
        let mut batch = Batch::default();
        for report in reports.iter().filter(|report| is_current(report)) {
            batch.add(report);
        }
        batch.advance(&mut tx).await?;
        let settled = settle_in(&mut tx, &batch.settlements).await?;
        tx.commit().await?;
        measured::ended(&batch.settlements, &settled);
        let answers = batch.settlements.iter().map(|settlement| settlement.attempt).zip(settled);
        let ended: HashMap<_, _> = answers.collect();
        let answer = |report: &Report| match &report.news {
            _ if !is_current(report) => Recorded::Superseded,
            News::Advanced { .. } => Recorded::Done(true),
            News::Ended { ending, .. } => {
                Recorded::Done(ended.get(&report.attempt).is_some_and(|settled| settled.agrees(ending)))
            }
        };
        Ok(reports.iter().map(answer).collect())
    }
}

/// The newest sessions among these reports, where Postgres knows none that is newer; they stay so until the end of the
/// transaction.
async fn hold_sessions(tx: &mut Connection, reports: &[Report]) -> Result<HashMap<AgentId, u64>, Error> {
    let mut sessions = BTreeMap::new();
    for report in reports {
        let newest = sessions.entry(report.agent.uuid()).or_insert(report.session);
        *newest = report.session.max(*newest);
    }
    let agents: Vec<_> = sessions.keys().copied().collect();
    let numbers = sessions.values().map(|number| signed::<i64>(*number));
    let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
    let held = query_file!("queries/record/hold_sessions.sql", &agents, &numbers).fetch_all(tx).await?;
    let held = held.into_iter().filter_map(|row| Some((row.id, *sessions.get(&row.id)?)));
    Ok(held.map(|(agent, session)| (AgentId::from_uuid(agent), session)).collect())
}

/// Reports of one transaction: at most one move of an attempt.
#[derive(Default)]
struct Batch {
    advances: HashMap<AttemptId, Advance>,
    settlements: Vec<Settlement>,
    ended: HashSet<AttemptId>,
}

struct Advance {
    agent: AgentId,
    state: AttemptState,
    image_id: Option<String>,
}

impl Batch {
    fn add(&mut self, report: &Report) {
        if self.ended.contains(&report.attempt) {
            return;
        }
        match &report.news {
            News::Advanced { event, image_id } => {
                let Ok(state) = AttemptState::Leased.next(*event) else { return };
                let first = Advance { agent: report.agent, state, image_id: None };
                let advance = self.advances.entry(report.attempt).or_insert(first);
                advance.state = advance.state.max(state);
                if image_id.is_some() {
                    advance.image_id.clone_from(image_id);
                }
            }
            News::Ended { ending, publication, image_id, measured, given, remark } => {
                // What has ended needs no steps on the way; that its container ran is kept.
                let advance = self.advances.remove(&report.attempt);
                self.ended.insert(report.attempt);
                self.settlements.push(Settlement {
                    publication: publication.clone(),
                    measured: *measured,
                    given: given.as_ref().clone(),
                    remark: remark.clone(),
                    image_id: image_id.clone().or(advance.and_then(|advance| advance.image_id)),
                    ..Settlement::of(report.attempt, Fence::Agent(report.agent), ending.clone())
                });
            }
        }
    }

    async fn advance(&self, tx: &mut Connection) -> Result<(), Error> {
        if self.advances.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = self.advances.keys().map(|attempt| attempt.uuid()).collect();
        let states: Vec<_> = self.advances.values().map(|advance| Pg(advance.state)).collect();
        let images: Vec<_> = self.advances.values().map(|advance| advance.image_id.clone()).collect();
        let agents: Vec<_> = self.advances.values().map(|advance| advance.agent.uuid()).collect();
        query_file!("queries/record/advance_attempts.sql", &ids, &states as _, &images as _, &agents)
            .execute(tx)
            .await?;
        Ok(())
    }
}
