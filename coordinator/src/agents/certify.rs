//! Certificates of agents: whoever comes with a token for agents joins, and whoever has a certificate gets the next one.

use std::path::PathBuf;
use std::time::Duration;

use bt_proto::v1;
use bt_trust::Authority;
use serde_json::json;
use tokio::task::spawn_blocking;
use tonic::Status;
use tracing::info;

use super::caller;
use crate::access::call;
use crate::queue::{Joining, Queue};
use crate::rpc::status;

/// Letters of an agent's name.
const LONGEST_NAME: usize = 200;

/// Signs certificates. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Certifier {
    /// Where the authority is, if the coordinator has one.
    pub(crate) authority: Option<PathBuf>,
    /// How long a certificate is valid.
    pub(crate) holds: Duration,
}

impl Certifier {
    pub(super) async fn certify(
        &self,
        queue: &Queue,
        request: v1::CertifyRequest,
    ) -> Result<v1::CertifyReply, Status> {
        let v1::CertifyRequest { agent_id, name, request } = request;
        let agent = caller(&agent_id)?;
        if name.chars().count() > LONGEST_NAME {
            return Err(Status::invalid_argument(format!(
                "an agent's name has {LONGEST_NAME} letters at most"
            )));
        }
        call::about(&name, &agent_id);
        let identity = call::identity().filter(|identity| identity.is_known);
        let identity = identity.ok_or_else(|| {
            Status::unimplemented(
                "agents join where callers are asked for tokens (btctl coordinator --auth tokens); here an agent needs none",
            )
        })?;
        let dir = self.authority.clone().ok_or_else(|| {
            Status::unimplemented(
                "this coordinator has no authority to sign certificates with (--tls-dir, from btctl coordinator init); start \
                 the agent without --join",
            )
        })?;
        let holds = self.holds;
        let signing = spawn_blocking(move || match Authority::open(&dir) {
            Ok(authority) => authority
                .certify_agent(&request, agent.uuid(), holds)
                .map_err(|error| Status::invalid_argument(error.to_string())),
            Err(error) => Err(Status::failed_precondition(format!(
                "this coordinator can't sign certificates, ask another one: {error}"
            ))),
        });
        let signed = signing.await.map_err(|error| Status::internal(error.to_string()))??;
        match (identity.agent, &identity.token) {
            (Some(_), _) => {
                let renewed = queue.renew_agent(agent, &name, &signed.key, signed.expires).await;
                if !renewed.map_err(status::queue)? {
                    return Err(Status::unauthenticated(format!(
                        "the certificate of agent {name} holds no more"
                    )));
                }
                call::changed(&json!(null), &json!({ "renewed": true }));
            }
            (None, Some(token)) => {
                match queue.join_agent(token, agent, &name, &signed.key, signed.expires).await {
                    Ok(Joining::Joined) => {}
                    Ok(Joining::UsedUp) => return Err(used_up(token)),
                    Ok(Joining::Refused) => return Err(anothers(&agent_id)),
                    Err(error) => return Err(status::queue(error)),
                }
                call::changed(&json!(null), &json!({ "joined": true, "token": token }));
                info!("agent {name} ({agent}) has joined");
            }
            (None, None) => return Err(Status::permission_denied("no agent calls")),
        }
        Ok(v1::CertifyReply { certificate: signed.certificate })
    }
}

pub(super) fn used_up(token: &str) -> Status {
    Status::permission_denied(format!(
        "the token {token} lets no more agents in (--uses); an administrator makes another one"
    ))
}

fn anothers(agent: &str) -> Status {
    Status::permission_denied(format!(
        "agent {agent} has joined with another key, or this key was revoked: if this machine is to be let in, remove the files \
         agent-id and agent.key of its state directory, and it joins as a new agent"
    ))
}
