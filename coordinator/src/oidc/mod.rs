//! Signing in with a firm's identity provider, by OpenID Connect: the authorization code flow with PKCE for the page, and the
//! device flow for the command line. The issuer is asked here alone ([`issuer`]); what it answers is an ID token, whose
//! signature is checked by ring ([`ring`]) and whose claims are checked by [`id_token`]. Who that is here, and with which role,
//! the operator's rules say ([`person`]).
//!
//! Nothing is kept between the two halves of a sign-in: what belongs to it is in the browser's cookie, or with the client that
//! waits. So any coordinator can answer the second half, and whoever begins many sign-ins fills nothing up.

mod device;
mod id_token;
mod issuer;
mod options;
mod pace;
mod page;
mod person;
mod ring;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::{info, warn};

pub(crate) use device::Polled;
use issuer::Issuer;
use options::Settings;
pub use options::SignIn;
use pace::Pace;
pub(crate) use page::{CALLBACK, Returned};
pub(crate) use person::Person;
pub use person::RoleRule;

/// How often an issuer that was not reached at the start is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// Whom people sign in with. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Oidc(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    issuer: Issuer,
    pace: Pace,
}

/// Why somebody is not signed in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// It may succeed in a moment.
    #[error("{0}")]
    Away(String),
    /// Too many sign-ins at once.
    #[error("{0}")]
    TooMany(String),
    /// The coordinator's settings and the issuer's do not fit.
    #[error("{0}")]
    Misfit(String),
    /// What was shown proves nothing.
    #[error("{0}")]
    Unproven(String),
    /// It is known who it is, who may not come in.
    #[error("{0}")]
    Denied(String),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let told = error.to_string();
        match error {
            Error::Away(_) => Self::unavailable(told),
            Error::TooMany(_) => Self::resource_exhausted(told),
            Error::Misfit(_) => Self::failed_precondition(told),
            Error::Unproven(_) => Self::unauthenticated(told),
            Error::Denied(_) => Self::permission_denied(told),
        }
    }
}

impl Oidc {
    /// None where nobody signs in that way.
    pub(crate) fn new(options: &SignIn, public_url: Option<&url::Url>) -> anyhow::Result<Option<Self>> {
        let Some(settings) = Settings::read(options, public_url)? else { return Ok(None) };
        let issuer = Issuer::new(&settings)?;
        Ok(Some(Self(Arc::new(Inner { settings, issuer, pace: Pace::default() }))))
    }

    /// The issuer's host, as people know it.
    pub(crate) fn host(&self) -> &str {
        &self.0.settings.host
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.0.settings.issuer
    }

    /// How long somebody who signed in stays so.
    pub(crate) fn session(&self) -> Duration {
        self.0.settings.session
    }

    /// Says at the start whether the issuer can be reached, and when it can.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut is_told = false;
        loop {
            let found = tokio::select! {
                found = self.0.issuer.found() => found,
                () = shutdown.cancelled() => return,
            };
            match found {
                Ok(_) => return info!("people can sign in with {}", self.issuer()),
                Err(error) if !is_told => {
                    warn!("nobody can sign in yet: {error}; it is tried again and again");
                    is_told = true;
                }
                Err(_) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Who the issuer says it is, by what it gave for a code.
    async fn person(&self, tokens: issuer::Tokens, nonce: Option<&str>) -> Result<Person, Error> {
        let claims = self.0.issuer.claims(&tokens.id_token, nonce).await?;
        let rules = &self.0.settings.rules;
        let claims = match (rules.lacks(&claims), tokens.access_token) {
            (true, Some(access)) => self.with_more(claims, &access).await?,
            _ => claims,
        };
        rules.person(&claims)
    }

    /// Some issuers put the mail address and the groups where they have to be asked for.
    async fn with_more(&self, claims: Map<String, Value>, access: &str) -> Result<Map<String, Value>, Error> {
        let Some(mut more) = self.0.issuer.more(access).await? else { return Ok(claims) };
        if more.get("sub") != claims.get("sub") {
            return Err(Error::Unproven(
                "what the issuer says of the user is about somebody else".to_owned(),
            ));
        }
        // What is signed goes before what is not.
        more.extend(claims);
        Ok(more)
    }
}
