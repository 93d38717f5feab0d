//! Heartbeats: they renew leases, and say what an agent can do now.

use bt_measures::LEASES_RENEWED;
use bt_model::id::{AgentId, AttemptId};
use bt_model::retry::Ending;
use bt_proto::convert::Malformed;
use bt_proto::v1::{self, coordinator_message};
use tonic::Status;

use super::{Agents, attempt_id, attempt_ids, fingerprints};
use crate::queue::{Beat, Fence, Pulse, Settlement};
use crate::rpc::status;

impl Agents {
    pub(super) async fn heartbeat(
        &self,
        agent: AgentId,
        session: u64,
        beat: v1::Heartbeat,
    ) -> Result<(), Status> {
        let pulse = pulse(beat).map_err(status::malformed)?;
        let beat =
            self.queue.heartbeat(agent, session, &pulse, self.terms.lease).await.map_err(status::queue)?;
        let Beat { gone, drained } = beat;
        LEASES_RENEWED.add([], (pulse.attempts.len() - gone.len()) as u64);
        self.sessions.drain(agent, drained);
        let closed = pulse.draining || !pulse.unhealthy.is_empty();
        let unreceived = self.sessions.pulse(agent, &pulse.attempts, closed);
        for attempt in gone {
            self.sessions.take_away(agent, attempt);
        }
        if !unreceived.is_empty() {
            let returned =
                |attempt: &AttemptId| Settlement::of(*attempt, Fence::Unreceived, Ending::Returned);
            let returned: Vec<_> = unreceived.iter().map(returned).collect();
            self.queue.settle(&returned).await.map_err(status::queue)?;
            self.sessions.handed_back(agent, "it did not take jobs that were sent to it");
            for attempt in unreceived {
                self.sessions.stopped(agent, attempt);
            }
        }
        let renewed = coordinator_message::Kind::Renewed(v1::Renewed {});
        self.sessions.send(agent, renewed);
        Ok(())
    }
}

fn pulse(beat: v1::Heartbeat) -> Result<Pulse, Malformed> {
    let notes = beat.progress.into_iter();
    let notes = notes.map(|progress| Ok((attempt_id(&progress.attempt)?, progress.note)));
    Ok(Pulse {
        attempts: attempt_ids(&beat.attempts)?,
        unhealthy: beat.unhealthy.unwrap_or_default(),
        unavailable: beat.unavailable.unwrap_or_default(),
        draining: beat.draining,
        notes: notes.collect::<Result<_, Malformed>>()?,
        transfer: beat.transfer.unwrap_or_default(),
        fingerprints: fingerprints(&beat.volumes),
    })
}
