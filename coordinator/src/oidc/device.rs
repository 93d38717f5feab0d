//! The device flow, for the command line: the coordinator begins it and hands out the codes; the person enters one of them at
//! the issuer, and the client asks with the other whether that is done.

use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::options::is_private;
use super::{Error, Oidc, Person};
use crate::access::call;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Seconds between two questions, where the issuer says nothing, and at most.
const INTERVAL: u64 = 5;
const LONGEST_INTERVAL: u64 = 60;
/// Seconds that a code may hold at most.
const LONGEST: u64 = 3_600;
/// Letters of codes.
const LONGEST_USER_CODE: usize = 64;
const LONGEST_DEVICE_CODE: usize = 4_000;

/// A sign-in that has begun.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    /// With this the client asks whether it is done.
    pub(crate) device_code: String,
    pub(crate) user_code: String,
    /// Where the person enters the code.
    pub(crate) address: Url,
    /// The same with the code in it.
    pub(crate) complete: Option<Url>,
    pub(crate) holds: Duration,
    pub(crate) interval: Duration,
}

/// How far a sign-in is.
#[derive(Clone, Debug)]
pub(crate) enum Polled {
    Pending { slow_down: bool },
    Done(Person),
}

#[derive(Deserialize)]
struct Given {
    device_code: String,
    user_code: String,
    #[serde(alias = "verification_url")]
    verification_uri: Url,
    verification_uri_complete: Option<Url>,
    expires_in: u64,
    interval: Option<u64>,
}

impl Oidc {
    pub(crate) async fn begin_device(&self) -> Result<Begun, Error> {
        let _turn = self.0.pace.turn(call::from()).await?;
        let found = self.0.issuer.found().await?;
        let Some(address) = &found.device_authorization_endpoint else {
            return Err(Error::Misfit(format!(
                "the issuer {} has no device flow, so that btctl login can't use it; sign in on the page, or ask an \
                 administrator for a token",
                self.issuer()
            )));
        };
        let form = [("scope", &*self.0.settings.scopes)];
        let given = self.0.issuer.post::<Given>(&found, address, &form).await?;
        let given = given.map_err(|refused| {
            let otherwise = || Error::Misfit(format!("the issuer begins no sign-in ({})", refused.code));
            refused.of_client().unwrap_or_else(otherwise)
        })?;
        let is_shown = !given.user_code.is_empty()
            && given.user_code.len() <= LONGEST_USER_CODE
            && given.user_code.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        let complete = given.verification_uri_complete.filter(is_private);
        if !is_shown || !is_private(&given.verification_uri) || given.device_code.len() > LONGEST_DEVICE_CODE
        {
            return Err(Error::Misfit(
                "the issuer begins a sign-in with a code or an address that is none".to_owned(),
            ));
        }
        Ok(Begun {
            device_code: given.device_code,
            user_code: given.user_code,
            address: given.verification_uri,
            complete,
            holds: Duration::from_secs(given.expires_in.min(LONGEST)),
            interval: Duration::from_secs(given.interval.unwrap_or(INTERVAL).clamp(1, LONGEST_INTERVAL)),
        })
    }

    pub(crate) async fn poll_device(&self, device_code: &str) -> Result<Polled, Error> {
        if device_code.is_empty() || device_code.len() > LONGEST_DEVICE_CODE {
            return Err(Error::Unproven("this is no sign-in that has begun; run btctl login".to_owned()));
        }
        // Who is in the middle of a sign-in does not lose it because others of the same address ask too.
        let Ok(_turn) = self.0.pace.turn(call::from()).await else {
            return Ok(Polled::Pending { slow_down: true });
        };
        let form = [("grant_type", GRANT), ("device_code", device_code)];
        let refused = match self.0.issuer.tokens(&form).await? {
            Ok(tokens) => return Ok(Polled::Done(self.person(tokens, None).await?)),
            Err(refused) => refused,
        };
        match &*refused.code {
            "authorization_pending" => Ok(Polled::Pending { slow_down: false }),
            "slow_down" => Ok(Polled::Pending { slow_down: true }),
            "access_denied" => Err(Error::Denied("the sign-in was refused at the issuer".to_owned())),
            "expired_token" => {
                Err(Error::Unproven("the code has expired before it was entered; run btctl login again".to_owned()))
            }
            "invalid_grant" => Err(Error::Unproven(
                "the issuer does not know this sign-in: it has expired, or is done already; run btctl login again".to_owned(),
            )),
            other => Err(refused.of_client().unwrap_or_else(|| {
                Error::Unproven(format!("the issuer refuses the sign-in ({other}); run btctl login again"))
            })),
        }
    }
}
