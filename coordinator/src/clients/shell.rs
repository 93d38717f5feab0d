//! A shell in an image, without a job: which agent it is opened on, and what it is given.

use std::collections::BTreeMap;

use bt_model::manifest::Manifest;
use bt_model::placement::Need;
use bt_proto::v1;
use bt_proto::{convert::present, protocol};
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::Clients;
use super::submit::invalid;
use crate::rpc::Answers;
use crate::sessions::Ready;

impl Clients {
    /// `text` is a manifest of one job, which nobody queues. Its volumes are read-only, and cut as the holdout of its family
    /// says; it has no secrets.
    pub(super) async fn open_shell(
        &self,
        start: v1::DebugStart,
        text: &str,
        incoming: Streaming<v1::DebugInput>,
    ) -> Result<Answers<v1::DebugOutput>, Status> {
        let mut manifest = Manifest::from_json(text).map_err(invalid)?;
        for mount in &mut manifest.volumes {
            mount.read_only = true;
        }
        manifest.sandbox.secrets.clear();
        manifest.sandbox.batch = None;
        let (manifest, aliased) = self.without_alias(manifest).await?;
        let image_pin = aliased.map(|(_, pin)| pin);
        let (manifest, _) = self.held_out(&v1::SubmitHeader::default(), manifest).await?;
        self.allow_image(&manifest.image, image_pin.as_deref())?;
        self.keep_dev_mounts(&manifest).await?;
        let agent = self.agent_for(&manifest, present(start.agent.clone())).await?;
        let assignment = v1::Assignment {
            attempt: Uuid::new_v4().to_string(),
            // Of no sweep.
            sweep: Uuid::new_v4().to_string(),
            sweep_name: "shell".to_owned(),
            manifest: manifest.to_json(),
            parameters: "{}".to_owned(),
            image_pin,
            containers: v1::Containers::Each.into(),
            ..v1::Assignment::default()
        };
        self.relay.open_image_shell(agent.agent, assignment, start, incoming).await
    }

    /// The agent that was named, or one that has room now, or else one that could have it.
    async fn agent_for(&self, manifest: &Manifest, named: Option<String>) -> Result<Ready, Status> {
        let ready = self.sessions.ready();
        let (labels, volumes, secrets) = (manifest.labels(), manifest.volumes_needed(), BTreeMap::new());
        let protocol = protocol::first_with([
            (manifest.judged.holdout.is_some(), protocol::HOLDOUTS),
            (!manifest.sandbox.dev_mounts.is_empty(), protocol::DEV_MOUNTS),
        ]);
        let resources = manifest.resources();
        let need =
            Need { resources, labels: &labels, volumes: &volumes, protocol, secrets: &secrets, stay: None };
        if let Some(named) = named {
            let agent = self.find_agent(&named).await?;
            let found = ready.into_iter().find(|ready| ready.agent == agent);
            let found = found.ok_or_else(|| {
                Status::unavailable(format!(
                    "the agent {named} takes no work here now; btctl agents ls shows why"
                ))
            })?;
            let misfit = found.seat.offer.misfit(&found.seat.offer.capacity, &need);
            return match misfit {
                None => Ok(found),
                Some(why) => {
                    Err(Status::failed_precondition(format!("the agent {named} can't have it: {why}")))
                }
            };
        }
        let fits = |ready: &Ready, free: bool| {
            let room = if free { &ready.seat.free } else { &ready.seat.offer.capacity };
            ready.seat.offer.misfit(room, &need).is_none()
        };
        let place = [true, false].iter().find_map(|free| ready.iter().position(|ready| fits(ready, *free)));
        let whys = ready.iter().map(|ready| ready.seat.offer.misfit(&ready.seat.offer.capacity, &need));
        let why = whys.flatten().next().map(|why| format!("; of one of them, {why}")).unwrap_or_default();
        let agents = ready.len();
        place.and_then(|place| ready.into_iter().nth(place)).ok_or_else(|| {
            Status::unavailable(match agents {
                0 => "no agent is connected that takes work".to_owned(),
                agents => format!("none of the {agents} agents that take work fits{why}"),
            })
        })
    }
}
