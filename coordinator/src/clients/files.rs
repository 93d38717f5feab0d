//! Which files a volume holds, as an agent says that offers it: the values of an axis such as
//! `{from_volume: prices, glob: "*.csv"}`.

use std::collections::BTreeSet;

use bt_model::manifest::{Draft, suggestion};
use bt_model::placement::covering;
use bt_proto::v1;
use tonic::Status;

use super::Clients;
use crate::queue::AgentRow;
use crate::rpc::status;

impl Clients {
    pub(super) async fn list_files(
        &self,
        request: v1::ListVolumeFilesRequest,
    ) -> Result<v1::ListVolumeFilesReply, Status> {
        let v1::ListVolumeFilesRequest { volume, glob } = request;
        let mut agents = self.queue.agents(self.silence).await.map_err(status::queue)?;
        agents.retain(|agent| !agent.offline);
        let connected = self.sessions.offers();
        let asked = agents.iter().find(|agent| connected.contains_key(&agent.id) && offers(agent, &volume));
        let Some(agent) = asked else { return Err(nobody_offers(&agents, &volume)) };
        let paths = self.relay.ask_for_files(agent.id, &agent.name, &volume, &glob).await?;
        Ok(v1::ListVolumeFilesReply { paths, agent: agent.name.clone() })
    }

    /// Gives each axis that is read from a volume the files that are there now.
    pub(crate) async fn read_axes(&self, draft: &mut Draft) -> Result<(), Status> {
        for (name, from) in draft.unread_axes() {
            let request = v1::ListVolumeFilesRequest { volume: from.volume, glob: from.glob };
            let files = self.list_files(request).await?;
            let filled = draft.fill_axis(&name, files.paths);
            filled.map_err(|error| Status::invalid_argument(error.to_string()))?;
        }
        Ok(())
    }
}

fn offers(agent: &AgentRow, volume: &str) -> bool {
    covering(agent.volumes.keys().map(String::as_str), volume).is_some()
}

/// Another coordinator may be connected to an agent that this one is not.
fn nobody_offers(online: &[AgentRow], volume: &str) -> Status {
    if online.iter().any(|agent| offers(agent, volume)) {
        return Status::unavailable(format!(
            "no agent that offers the volume {volume} is connected to this coordinator"
        ));
    }
    let offered: BTreeSet<_> =
        online.iter().flat_map(|agent| agent.volumes.keys()).map(String::as_str).collect();
    let hint = match offered.is_empty() {
        true => "; they offer none".to_owned(),
        false => suggestion(volume, offered, "offered volumes"),
    };
    Status::failed_precondition(match online.is_empty() {
        true => format!(
            "no agent is online that could say which files the volume {volume} holds; start one that offers it"
        ),
        false => format!("no agent that is online offers the volume {volume}{hint}"),
    })
}
