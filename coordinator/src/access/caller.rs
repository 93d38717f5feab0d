//! A caller that is known: by what, and until when.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bt_model::id::AgentId;
use bt_model::role::Role;
use bt_trust::ShownAgent;
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::identity::{Identity, check_name};
use super::secret::ROOT;
use crate::queue::{self, JoinedRow, Key, LoggedInWith, TokenProof};

/// What a caller shows; secrets by their SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Proof {
    Token(Key),
    Cookie(Key),
    Certificate(ShownAgent),
}

/// A caller that is known. Open calls hold it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) identity: Arc<Identity>,
    pub(super) basis: Basis,
    /// Cancelled when the token or the cookie holds no more.
    pub(crate) ended: CancellationToken,
    pub(super) seen: Mutex<Seen>,
}

#[derive(Clone, Debug)]
pub(super) enum Basis {
    Root,
    Token(String),
    Cookie(Key, LoggedInWith),
    Certificate(AgentId),
    /// A proxy's word.
    Proxy,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// When it was known to hold.
    pub(super) held: Instant,
    pub(super) used: Instant,
}

/// Why a caller is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unknown {
    #[error("{why}")]
    Refused {
        why: String,
        /// Of whose token it is, if it is one that held once.
        name: Option<String>,
    },
    /// It may be known in a moment.
    #[error("{0}")]
    NotNow(String),
}

impl Unknown {
    pub(super) fn refused(why: impl Into<String>) -> Self {
        Self::Refused { why: why.into(), name: None }
    }
}

impl From<queue::Error> for Unknown {
    fn from(error: queue::Error) -> Self {
        if !error.is_transient() {
            tracing::error!(error = %error, "a caller could not be looked up");
        }
        Self::NotNow(format!("who calls can't be found out now: {error}"))
    }
}

impl Known {
    pub(super) fn new(identity: Identity, basis: Basis) -> Self {
        let now = Instant::now();
        Self {
            identity: Arc::new(identity),
            basis,
            ended: CancellationToken::new(),
            seen: Mutex::new(Seen { held: now, used: now }),
        }
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_expired(&self) -> bool {
        self.identity.expires.is_some_and(|expires| expires <= Timestamp::now())
    }

    /// Tells an open call why it ends, in the words that the next call hears, without asking Postgres.
    pub(crate) fn why_ended(&self) -> String {
        let Identity { name, expires, issuer, .. } = &*self.identity;
        let signed_in = issuer.is_some();
        match (expires, &self.basis) {
            (Some(expires), _) if self.has_expired() => expired(name, *expires, signed_in),
            _ if signed_in => format!("the sign-in of {name} has ended; {SIGN_IN_AGAIN}"),
            (_, Basis::Certificate(_)) => {
                format!("the certificate of agent {name} was revoked or has expired")
            }
            _ => format!("this token of {name} was revoked or has expired"),
        }
    }
}

const SIGN_IN_AGAIN: &str = "sign in again (btctl login, or on the page)";

fn expired(name: &str, at: Timestamp, signed_in: bool) -> String {
    if signed_in {
        format!("the sign-in of {name} ended at {at}; {SIGN_IN_AGAIN}")
    } else {
        format!("this token of {name} expired at {at}; an administrator makes a new one")
    }
}

impl Basis {
    pub(super) fn token(&self) -> Option<&str> {
        match self {
            Self::Token(id) | Self::Cookie(_, LoggedInWith::Token(id)) => Some(id),
            Self::Root | Self::Cookie(_, LoggedInWith::Root(_)) | Self::Certificate(_) | Self::Proxy => None,
        }
    }

    pub(super) fn cookie(&self) -> Option<&Key> {
        match self {
            Self::Cookie(key, _) => Some(key),
            Self::Root | Self::Token(_) | Self::Certificate(_) | Self::Proxy => None,
        }
    }

    pub(super) fn agent(&self) -> Option<AgentId> {
        match self {
            Self::Certificate(agent) => Some(*agent),
            Self::Root | Self::Token(_) | Self::Cookie(..) | Self::Proxy => None,
        }
    }
}

/// Who holds a token, if it holds.
pub(super) fn of_token(id: &str, proof: TokenProof) -> Result<Identity, Unknown> {
    let TokenProof { name, role, owners, issuer, expires, expired: has_expired, revoked, .. } = proof;
    let why = match (revoked, has_expired, expires) {
        (true, ..) => format!("this token of {name} was revoked"),
        (_, true, Some(at)) => expired(&name, at, issuer.is_some()),
        _ => {
            let token = Some(id.to_owned());
            return Ok(Identity {
                name,
                role,
                owners,
                token,
                issuer,
                expires,
                is_known: true,
                ..Identity::anybody()
            });
        }
    };
    Err(Unknown::Refused { why, name: Some(name) })
}

/// Which agent shows a certificate, if it holds.
pub(super) fn of_certificate(shown: &ShownAgent, joined: Option<JoinedRow>) -> Result<Identity, Unknown> {
    let agent = AgentId::from_uuid(shown.agent);
    let Some(JoinedRow { name, key, expired, revoked, .. }) = joined else {
        return Err(Unknown::refused(format!(
            "agent {agent} is not known here: it joins again with a token"
        )));
    };
    let why = match (revoked, expired, key == shown.key) {
        (true, ..) => format!("the certificate of agent {name} was revoked"),
        (_, true, _) => format!("the certificate of agent {name} has expired: it joins again with a token"),
        (_, _, false) => format!("agent {name} has joined again with another key"),
        (false, false, true) => {
            return Ok(Identity {
                owners: vec![name.clone()],
                name,
                role: Role::Agent,
                agent: Some(agent),
                is_known: true,
                ..Identity::anybody()
            });
        }
    };
    Err(Unknown::Refused { why, name: Some(name) })
}

/// Whom a proxy calls for.
pub(super) fn of_proxy(name: &str, role: Role) -> Result<Known, Unknown> {
    check_name("the user's name in the proxy's header", name).map_err(Unknown::refused)?;
    if name == ROOT {
        return Err(Unknown::refused(
            "`root` is who holds the administrator's token of the coordinator's file",
        ));
    }
    let (name, owners) = (name.to_owned(), vec![name.to_owned()]);
    let identity = Identity { name, role, owners, is_known: true, is_vouched: true, ..Identity::anybody() };
    Ok(Known::new(identity, Basis::Proxy))
}

/// Who holds the administrator's token of the coordinator's file.
pub(super) fn root() -> Identity {
    let name = ROOT.to_owned();
    Identity { owners: vec![name.clone()], name, is_known: true, ..Identity::anybody() }
}

/// The coordinator's own user, who may submit in any name.
pub(super) fn own_user() -> Identity {
    let name = whoami::username().unwrap_or_else(|_| rustix::process::getuid().as_raw().to_string());
    Identity { name, is_known: true, ..Identity::anybody() }
}
