//! Connecting to a coordinator.

use std::time::Duration;

use anyhow::{Context, Error, anyhow};
use bt_proto::bearer::{Line, TokenSource};
use bt_trust::ClientTrust;
use tokio::time::timeout;
use tonic::transport::Endpoint;

/// How long the system may take to connect.
const CONNECT: Duration = Duration::from_secs(10);
/// How often an idle connection is probed, and how long the answer may take.
const KEEPALIVE: Duration = Duration::from_secs(10);

pub(crate) fn endpoints(coordinators: &[String]) -> anyhow::Result<Vec<Endpoint>> {
    let endpoint = |address: &String| {
        let endpoint = Endpoint::from_shared(address.clone());
        let endpoint = endpoint.with_context(|| {
            format!("{address:?} is not a coordinator's address; it looks like http://host:7600")
        })?;
        let endpoint = endpoint
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        anyhow::Ok(endpoint)
    };
    coordinators.iter().map(endpoint).collect()
}

/// How coordinators are reached.
#[derive(Debug)]
pub(crate) struct Dialer {
    /// Whom to believe.
    pub(crate) trust: ClientTrust,
    /// What says who the agent is.
    pub(crate) tokens: TokenSource,
}

impl Dialer {
    /// A connection whose calls say who the agent is. The token is read anew each time: another may have taken its place.
    pub(crate) async fn dial(&self, endpoint: &Endpoint, patience: Duration) -> anyhow::Result<Line> {
        let bearer = self.tokens.read().map_err(Error::msg)?;
        match timeout(patience, bt_trust::connect(endpoint, &self.trust)).await {
            Ok(connected) => Ok(Line::new(connected?, bearer)),
            Err(_) => Err(anyhow!("no connection within {patience:?}")),
        }
    }
}
