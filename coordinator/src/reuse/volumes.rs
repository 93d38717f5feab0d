//! What the volumes of a sweep hold now. Only if all agents that could run its jobs tell the same of them can it be said
//! that an earlier job has read what a new one would read.

use bt_model::resources::Resources;

use super::resolve::PATIENCE;
use super::{Error, Reuse};
use crate::queue::{AgentRow, Fingerprints, Pending};
use crate::scheduling::misfit;

/// What is known of the content of a sweep's volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Fingerprints by name; none if there are no volumes.
    Known(Fingerprints),
    /// It will be known; what is waited for.
    Awaited(String),
    /// It can't be known: why, and what would help.
    Unknown(String),
}

impl Reuse {
    pub(super) async fn volumes(&self, pending: &Pending) -> Result<Content, Error> {
        if pending.volumes.is_empty() {
            return Ok(Content::Known(Fingerprints::new()));
        }
        let details = self.queue.sweep_details(pending.sweep).await?;
        let mut agents = self.queue.agents(self.silence).await?;
        agents.retain(|agent| {
            let all = Resources { jobs: agent.capacity.jobs.max(1), ..agent.capacity };
            !agent.offline && misfit(&agent.offer(), &all, &details.candidate).is_none()
        });
        for (volume, read_only) in &pending.volumes {
            if !read_only {
                let why = format!("its jobs may write to volume {volume}; mount it with :ro");
                return Ok(Content::Unknown(why));
            }
        }
        Ok(compare(pending, &agents))
    }
}

fn compare(pending: &Pending, agents: &[AgentRow]) -> Content {
    let Some(first) = agents.first() else {
        return Content::Awaited("no agent is connected that could run its jobs".to_owned());
    };
    let mut known = Fingerprints::new();
    for volume in pending.volumes.keys() {
        for agent in agents {
            let name = &agent.name;
            match agent.fingerprints.get(volume).map(String::as_str) {
                None => {
                    return Content::Unknown(format!(
                        "agent {name} does not tell what volume {volume} holds; \
                         `btctl agent --volume {volume}=DIR:ro,fingerprint` makes it tell"
                    ));
                }
                Some("") if pending.age > PATIENCE => {
                    return Content::Unknown(format!(
                        "agent {name} could not find out what volume {volume} holds; its log says why"
                    ));
                }
                Some("") => {
                    return Content::Awaited(format!(
                        "agent {name} reads volume {volume} to know what it holds"
                    ));
                }
                Some(fingerprint) => {
                    let of_first = known.entry(volume.clone()).or_insert_with(|| fingerprint.to_owned());
                    if of_first != fingerprint {
                        return Content::Unknown(format!(
                            "agents {} and {name} hold different files in volume {volume}",
                            first.name
                        ));
                    }
                }
            }
        }
    }
    Content::Known(known)
}
