//! Which files a volume holds: an agent is asked in its session, and answers by a call.

use std::time::Duration;

use bt_model::id::AgentId;
use bt_proto::convert::{parse, present};
use bt_proto::v1::{self, coordinator_message};
use tokio::time::timeout;
use tonic::Status;
use uuid::Uuid;

use super::Relay;

/// How long an agent may take to look; a volume on a network disk may be slow.
const LOOK: Duration = Duration::from_secs(30);

impl Relay {
    /// Asks an agent, and waits for what it found or for why it can't say.
    pub(crate) async fn ask_for_files(
        &self,
        agent: AgentId,
        name: &str,
        volume: &str,
        glob: &str,
    ) -> Result<Vec<String>, Status> {
        let (request, answer) = self.waiting.expect_files();
        let ask =
            v1::ListFiles { request: request.to_string(), volume: volume.to_owned(), glob: glob.to_owned() };
        if !self.sessions.send(agent, coordinator_message::Kind::ListFiles(ask)) {
            return Err(Status::unavailable(format!(
                "agent {name} is not connected to this coordinator any more"
            )));
        }
        match timeout(LOOK, answer).await {
            Ok(Ok(Ok(paths))) => Ok(paths),
            Ok(Ok(Err(why))) => Err(Status::failed_precondition(format!("agent {name} {why}"))),
            Ok(Err(_)) => Err(Status::unavailable("the coordinator stops")),
            Err(_) => Err(Status::deadline_exceeded(format!(
                "agent {name} did not say within {} s which files {volume} holds; it may be an older release, or its disk hangs",
                LOOK.as_secs()
            ))),
        }
    }

    /// The agent's answer.
    pub(crate) fn take_files(&self, answer: v1::AnswerFilesRequest) -> Result<(), Status> {
        let v1::AnswerFilesRequest { request, paths, failed } = answer;
        let request: Uuid = parse("request", "a UUID", &request).map_err(crate::rpc::status::malformed)?;
        let answer = present(failed).map_or(Ok(paths), Err);
        let sent = self.waiting.take_files(request).is_some_and(|waiting| waiting.send(answer).is_ok());
        match sent {
            true => Ok(()),
            false => Err(Status::not_found("nobody waits for these files any more")),
        }
    }
}
