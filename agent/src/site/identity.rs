//! Who the agent is, as far as a container is concerned.

use bt_model::id::AgentId;

/// What a job runs as when it is to run as the agent, and the agent is root: the user nobody.
const UNPRIVILEGED: (u32, u32) = (65534, 65534);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) agent: AgentId,
    /// The agent's own uid and gid.
    pub(crate) ids: (u32, u32),
}

impl Identity {
    /// This process, as this agent.
    pub(crate) fn of(agent: AgentId) -> Self {
        let ids = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Self { agent, ids }
    }

    /// Who a container runs as that needs no rights of its own.
    pub(crate) fn unprivileged(self) -> (u32, u32) {
        if self.ids.0 == 0 { UNPRIVILEGED } else { self.ids }
    }
}
