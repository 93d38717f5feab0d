//! The issuer: where its calls are, which keys it signs with, and what it gives for a code. Redirects are not followed, and
//! no answer is read without a bound.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bt_model::excerpt::excerpt;
use bt_model::secret_value::SecretBytes;
use jsonwebtoken::jwk::JwkSet;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::warn;
use url::{Url, form_urlencoded};

use super::Error;
use super::id_token::{self, Claims, Expected};
use super::options::{Settings, is_private};

const CONNECT: Duration = Duration::from_secs(5);
const LIMIT: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const LARGEST: usize = 1 << 20;
/// How long what the issuer says of itself is believed, and its keys.
const FRESH: Duration = Duration::from_secs(3_600);
/// Who waited while it could not be reached hears the same.
const FAILED: Duration = Duration::from_millis(500);
/// How often its keys are read again for a token with a key that is not known.
const KEYS_AGAIN: Duration = Duration::from_secs(10);
/// Letters of an explanation that are logged.
const SHOWN: usize = 200;

/// What an issuer says of itself.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Found {
    issuer: String,
    pub(super) authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    pub(super) device_authorization_endpoint: Option<Url>,
    userinfo_endpoint: Option<Url>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// What is given for a code.
#[derive(Deserialize)]
pub(super) struct Tokens {
    pub(super) id_token: String,
    pub(super) access_token: Option<String>,
}

/// Why nothing is given, by the name that the protocol has for it.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    pub(super) code: String,
}

#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

/// What the issuer says of itself, or why it could not be read, and when that was.
type Read = (Result<Arc<Found>, Error>, Instant);

#[derive(Debug)]
pub(super) struct Issuer {
    issuer: String,
    client_id: String,
    secret: Option<SecretBytes>,
    http: Client,
    found: Mutex<Option<Read>>,
    keys: Mutex<Option<(Arc<JwkSet>, Instant)>>,
}

impl Issuer {
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Self> {
        bt_store::install_tls();
        let http = Client::builder()
            .user_agent(concat!("btctl/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(LIMIT)
            .build()
            .context("make an HTTP client")?;
        Ok(Self {
            issuer: settings.issuer.clone(),
            client_id: settings.client_id.clone(),
            secret: settings.secret.clone(),
            http,
            found: Mutex::default(),
            keys: Mutex::default(),
        })
    }

    /// What it says of itself.
    pub(super) async fn found(&self) -> Result<Arc<Found>, Error> {
        let mut known = self.found.lock().await;
        if let Some((found, read)) = &*known
            && read.elapsed() < if found.is_ok() { FRESH } else { FAILED }
        {
            return found.clone();
        }
        let found = self.find().await.map(Arc::new);
        *known = Some((found.clone(), Instant::now()));
        found
    }

    async fn find(&self) -> Result<Found, Error> {
        let address = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let found: Found = self.read(self.http.get(address), "what it says of itself").await?;
        self.check(&found)?;
        Ok(found)
    }

    fn check(&self, found: &Found) -> Result<(), Error> {
        if found.issuer != self.issuer {
            let other = excerpt(&found.issuer, SHOWN);
            return Err(Error::Misfit(format!(
                "the issuer at {} calls itself {other}; --oidc-issuer is to be what it calls itself, to the letter",
                self.issuer
            )));
        }
        let all = [Some(&found.authorization_endpoint), Some(&found.token_endpoint), Some(&found.jwks_uri)];
        let all = all
            .into_iter()
            .chain([&found.device_authorization_endpoint, &found.userinfo_endpoint].map(Option::as_ref));
        match all.flatten().all(is_private) {
            true => Ok(()),
            false => {
                Err(Error::Misfit(format!("the issuer {} names addresses without https://", self.issuer)))
            }
        }
    }

    /// The claims of an ID token that is what it must be. Keys that are not known are looked for once more: issuers change them.
    pub(super) async fn claims(&self, token: &str, nonce: Option<&str>) -> Result<Claims, Error> {
        let header = id_token::header(token)?;
        let expected = Expected { issuer: &self.issuer, client_id: &self.client_id, nonce };
        let keys = self.keys(FRESH).await?;
        if let Some(key) = id_token::key(&keys, &header) {
            return id_token::claims(token, &header, key, expected);
        }
        let keys = self.keys(KEYS_AGAIN).await?;
        match id_token::key(&keys, &header) {
            Some(key) => id_token::claims(token, &header, key, expected),
            None => Err(Error::Unproven(
                "the issuer's ID token is refused: it is signed with no key of the issuer".to_owned(),
            )),
        }
    }

    /// Its keys, if they were read within this time, or as they are now.
    async fn keys(&self, within: Duration) -> Result<Arc<JwkSet>, Error> {
        let found = self.found().await?;
        let mut known = self.keys.lock().await;
        if let Some((keys, read)) = &*known
            && read.elapsed() < within
        {
            return Ok(keys.clone());
        }
        let keys: JwkSet = self.read(self.http.get(found.jwks_uri.clone()), "its keys").await?;
        let keys = Arc::new(keys);
        *known = Some((keys.clone(), Instant::now()));
        Ok(keys)
    }

    /// What more it says of a user; None where it has no call for that.
    pub(super) async fn more(&self, access: &str) -> Result<Option<Claims>, Error> {
        let found = self.found().await?;
        let Some(address) = found.userinfo_endpoint.clone() else { return Ok(None) };
        self.read(self.http.get(address).bearer_auth(access), "what it says of the user").await.map(Some)
    }

    /// Asks for tokens.
    pub(super) async fn tokens(&self, form: &[(&str, &str)]) -> Result<Result<Tokens, Refused>, Error> {
        let found = self.found().await?;
        self.post(&found, &found.token_endpoint, form).await
    }

    /// Asks something as the client that the issuer knows.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        found: &Found,
        address: &Url,
        form: &[(&str, &str)],
    ) -> Result<Result<T, Refused>, Error> {
        let request = self.as_client(found, address, form);
        let response = request.send().await.map_err(|error| self.away(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(Ok(self.parsed(response, "tokens").await?));
        }
        if status.is_server_error() {
            return Err(Error::Away(format!("the issuer {} answered {status}; try again", self.issuer)));
        }
        let told: Told = self.parsed(response, "why it refuses").await?;
        let code: String =
            told.error.chars().filter(|c| c.is_ascii_lowercase() || *c == '_').take(40).collect();
        if !matches!(&*code, "authorization_pending" | "slow_down") {
            let why = excerpt(&told.error_description, SHOWN);
            warn!("the issuer refuses with {code} ({status}): {why}");
        }
        Ok(Err(Refused { status, code }))
    }

    fn as_client(&self, found: &Found, address: &Url, form: &[(&str, &str)]) -> RequestBuilder {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(form);
        let mut request = self.http.post(address.clone());
        let by_header = found
            .token_endpoint_auth_methods_supported
            .as_ref()
            .is_none_or(|all| all.iter().any(|one| one == "client_secret_basic"));
        let secret = self.secret.as_ref().and_then(|secret| std::str::from_utf8(secret.bytes()).ok());
        match secret {
            Some(secret) if by_header => {
                request = request.basic_auth(encoded(&self.client_id), Some(encoded(secret)))
            }
            Some(secret) => {
                body.append_pair("client_id", &self.client_id).append_pair("client_secret", secret);
            }
            None => {
                body.append_pair("client_id", &self.client_id);
            }
        }
        request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(body.finish())
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder, what: &str) -> Result<T, Error> {
        let response =
            request.header(ACCEPT, "application/json").send().await.map_err(|error| self.away(error))?;
        let status = response.status();
        if !status.is_success() {
            let issuer = &self.issuer;
            return Err(Error::Away(format!(
                "the issuer {issuer} answered {status} when it was asked for {what}"
            )));
        }
        self.parsed(response, what).await
    }

    async fn parsed<T: DeserializeOwned>(&self, mut response: Response, what: &str) -> Result<T, Error> {
        let mut read = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.away(error))? {
            if read.len() + piece.len() > LARGEST {
                return Err(Error::Away(format!("the issuer {} answers too much for {what}", self.issuer)));
            }
            read.extend_from_slice(&piece);
        }
        // The answer may hold tokens: nothing of it is said.
        serde_json::from_slice(&read)
            .map_err(|_| Error::Away(format!("the issuer {} answers what is not {what}", self.issuer)))
    }

    fn away(&self, error: reqwest::Error) -> Error {
        let error = error.without_url();
        let why = match error.is_timeout() {
            true => format!("no answer within {} s", LIMIT.as_secs()),
            false => {
                let mut innermost: &dyn std::error::Error = &error;
                while let Some(source) = innermost.source() {
                    innermost = source;
                }
                if error.source().is_some() { innermost.to_string() } else { error.to_string() }
            }
        };
        Error::Away(format!("the issuer {} can't be reached now: {why}", self.issuer))
    }
}

impl Refused {
    /// Where it is the client that is refused, and nobody who signs in can do anything about it.
    pub(super) fn of_client(&self) -> Option<Error> {
        let why = match &*self.code {
            "invalid_client" => {
                "the issuer does not take this coordinator's client id or secret (invalid_client); an administrator compares \
                 --oidc-client-id and --oidc-client-secret-file with what is registered at the issuer"
                    .to_owned()
            }
            "unauthorized_client" | "unsupported_grant_type" => format!(
                "the issuer does not let this client sign people in so ({}); an administrator allows the flow there: the \
                 authorization code for the page, the device code for btctl login",
                self.code
            ),
            "invalid_scope" => {
                "the issuer does not give this client what --oidc-scopes asks for (invalid_scope)".to_owned()
            }
            _ if self.status == StatusCode::UNAUTHORIZED => {
                "the issuer does not take this coordinator's client id or secret; an administrator compares them".to_owned()
            }
            "invalid_request" => {
                "the issuer can't use what this coordinator asks (invalid_request); the coordinator's log says why".to_owned()
            }
            _ => return None,
        };
        Some(Error::Misfit(why))
    }
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
