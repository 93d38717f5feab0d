//! Which agent a user's shell is opened on, and what it is given.

use bt_model::id::AgentId;
use bt_proto::v1::{self, debug_input};
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::Clients;
use crate::queue::{Error, Found, JobFilter};
use crate::rpc::{Answers, status};
use crate::scheduling::{Seat, misfit};

impl Clients {
    pub(super) async fn open_debug(
        &self,
        mut incoming: Streaming<v1::DebugInput>,
    ) -> Result<Answers<v1::DebugOutput>, Status> {
        let first = incoming.message().await?.and_then(|message| message.kind);
        let Some(debug_input::Kind::Start(start)) = first else {
            return Err(status::out_of_order("a DebugStart"));
        };
        if let Some(manifest) = start.manifest.clone() {
            return self.open_shell(start, &manifest, incoming).await;
        }
        let (sweep, changeable) = self.find_to_change(&start.sweep).await?;
        self.allow_image_of(sweep.id).await?;
        if start.with_results {
            self.results().has_result(&sweep, start.job).await?;
        }
        let (agent, assignment) = self.what_to_debug(&sweep, start.job).await?;
        self.relay.open_shell(changeable, agent, assignment, start, incoming).await
    }

    /// The job as an assignment of no attempt, and the agent that it is for: where its latest attempt was, if that agent
    /// is here, else one that could run it.
    async fn what_to_debug(&self, sweep: &Found, job: u32) -> Result<(AgentId, v1::Assignment), Status> {
        let only = JobFilter { states: Vec::new(), job: Some(job) };
        let row = self.queue.jobs(sweep.id, &only, None, 1).await.map_err(status::queue)?.into_iter().next();
        let row = row.ok_or_else(|| {
            status::queue(Error::NoJob {
                sweep: sweep.name.clone(),
                job,
                highest: sweep.known.checked_sub(1),
            })
        })?;
        let memory_bytes = row.memory_bytes;
        let known = self.manifests.get(sweep.id).await.map_err(status::manifest)?;
        let parameters = known.reader().map_err(status::manifest)?.json(row.parameters);
        let details = self.queue.sweep_details(sweep.id).await.map_err(status::queue)?;
        let last = self.queue.find_attempt(sweep.id, job, 0).await.map_err(status::queue)?;
        let ready = self.sessions.ready();
        let fits = |seat: &Seat| misfit(&seat.offer, &seat.offer.capacity, &details.candidate).is_none();
        let at_last = last.and_then(|attempt| ready.iter().find(|ready| ready.agent == attempt.agent));
        let chosen = at_last.or_else(|| ready.iter().find(|ready| fits(&ready.seat)));
        let agent = chosen.map(|ready| ready.agent).ok_or_else(|| {
            Status::unavailable(format!(
                "no agent that could run job {job} of sweep {} is connected; btctl explain {}/{job} says why",
                sweep.name,
                sweep.address()
            ))
        })?;
        let assignment = v1::Assignment {
            attempt: Uuid::new_v4().to_string(),
            sweep: sweep.id.to_string(),
            job,
            attempt_number: 0,
            sweep_name: sweep.name.clone(),
            manifest: known.text.clone(),
            parameters,
            image_pin: details.candidate.image_pin,
            batch: None,
            traceparent: None,
            memory_bytes,
            containers: v1::Containers::Each.into(),
        };
        Ok((agent, assignment))
    }
}
