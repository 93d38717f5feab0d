//! Who is let in by a `btctl up`: its own user on this machine, and whoever has a token. Where other machines are let in, lines
//! are encrypted, by a certificate that is made at the first start.

use std::net::SocketAddr;

use bt_coordinator::{Asking, Auth, TlsOptions};
use bt_proto::bearer::{Line, TokenSource};
use bt_proto::v1;
use bt_proto::v1::access_client::AccessClient;
use bt_trust::{ClientTrust, Pin};
use tonic::transport::Endpoint;

use crate::error::Error;
use crate::settings::ClientFile;
use crate::state_dir::{TOKEN_FILE, UpDir};

use super::certificate::make_if_missing;

/// How the coordinator is reached, and by whom.
pub(super) struct Entry {
    pub(super) asking: Asking,
    pub(super) tls: TlsOptions,
    pin: Option<Pin>,
}

impl Entry {
    pub(super) fn new(state_dir: &UpDir, listen: SocketAddr, insecure: bool) -> Result<Self, Error> {
        if insecure {
            let asking = Asking { insecure, ..Asking::default() };
            return Ok(Self { asking, tls: TlsOptions::default(), pin: None });
        }
        let admin_token_file = Some(state_dir.token_file());
        let asking = Asking { auth: Auth::Local, admin_token_file, ..Asking::default() };
        if listen.ip().is_loopback() {
            return Ok(Self { asking, tls: TlsOptions::default(), pin: None });
        }
        let dir = state_dir.tls_dir();
        let pin = make_if_missing(&dir)?;
        Ok(Self { asking, tls: TlsOptions { tls_dir: Some(dir), ..TlsOptions::default() }, pin: Some(pin) })
    }

    /// What clients on this machine need to know.
    pub(super) fn client_file(&self, address: SocketAddr) -> ClientFile {
        let scheme = if self.pin.is_some() { "https" } else { "http" };
        ClientFile {
            coordinator: Some(format!("{scheme}://{}", super::reachable(address))),
            ca_pin: self.pin.map(|pin| pin.to_string()),
            token_file: self.asking.admin_token_file.is_some().then(|| TOKEN_FILE.to_owned()),
            ..ClientFile::default()
        }
    }

    pub(super) fn trust(&self) -> ClientTrust {
        ClientTrust::pinned(self.pin)
    }

    /// How others come in, in words; nothing where no other machine can.
    pub(super) fn for_others(&self, address: SocketAddr) -> Option<String> {
        for_others(self.pin.map(|pin| pin.to_string()).as_deref(), address)
    }

    /// The token of the agent that runs beside, made if there is none that holds.
    pub(super) async fn agent_token(
        &self,
        state_dir: &UpDir,
        coordinator: &str,
    ) -> Result<TokenSource, Error> {
        if self.asking.admin_token_file.is_none() {
            return Ok(TokenSource::None);
        }
        let file = state_dir.agent_token_file();
        let own = TokenSource::File(file.clone());
        if file.exists() {
            let mut access = self.access(coordinator, &own).await?;
            match access.who_am_i(v1::WhoAmIRequest {}).await {
                Ok(who) if who.get_ref().role() == v1::Role::Agent => return Ok(own),
                Ok(_) => {}
                Err(status) if status.code() == tonic::Code::Unauthenticated => {}
                Err(status) => return Err(status.into()),
            }
        }
        let administrator = TokenSource::File(state_dir.token_file());
        let mut access = self.access(coordinator, &administrator).await?;
        let request = v1::CreateTokenRequest {
            name: "btctl up".to_owned(),
            role: v1::Role::Agent.into(),
            ..v1::CreateTokenRequest::default()
        };
        let made = access.create_token(request).await?.into_inner();
        bt_trust::write_private(&file, &format!("{}\n", made.token))
            .map_err(|error| Error::Failed(error.to_string()))?;
        Ok(own)
    }

    async fn access(&self, coordinator: &str, token: &TokenSource) -> Result<AccessClient<Line>, Error> {
        let failed = |error: String| Error::Failed(format!("this coordinator can't be called: {error}"));
        let endpoint =
            Endpoint::from_shared(coordinator.to_owned()).map_err(|error| failed(error.to_string()))?;
        let channel = bt_trust::connect(&endpoint, &self.trust()).await;
        let channel = channel.map_err(|error| failed(error.to_string()))?;
        Ok(AccessClient::new(Line::new(channel, token.read().map_err(failed)?)))
    }
}

/// What people and agents on other machines type to get in; `pin` is that of the coordinator's authority.
pub(super) fn for_others(pin: Option<&str>, address: SocketAddr) -> Option<String> {
    let Some(pin) = pin else { return crate::exposed::warning(address) };
    let others = crate::exposed::for_others(address);
    Some(format!(
        "other machines reach {others}, by TLS and with a token\n\
         an agent: btctl token create NAME --role agent --ttl 1h, and there\n  \
         btctl agent --join {others} --token-file FILE --ca-pin {pin}\n\
         a person: btctl token create NAME --role submitter, and there\n  \
         export BTCTL_COORDINATOR=https://{others} BTCTL_CA_PIN={pin} BTCTL_TOKEN_FILE=FILE"
    ))
}
