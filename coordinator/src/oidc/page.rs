//! The authorization code flow with PKCE, for the page: the browser is sent to the issuer with a state, a nonce and the hash of
//! a verifier, keeps these in a cookie, and comes back with a code. A code is worth something in the browser alone that
//! began.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bt_model::hex::hex;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::Url;

use super::{Error, Oidc, Person};
use crate::access::call;

/// Where the issuer sends people back to.
pub(crate) const CALLBACK: &str = "/login/oidc/callback";
/// Letters of what comes back.
const LONGEST: usize = 4_000;

/// What comes back with a browser.
#[derive(Clone, Debug, Default)]
pub(crate) struct Returned {
    pub(crate) code: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) error: Option<String>,
    /// Which issuer sent it, where that says so.
    pub(crate) issuer: Option<String>,
}

/// What a browser keeps of a sign-in that has begun.
struct Kept<'k> {
    state: &'k str,
    nonce: &'k str,
    verifier: &'k str,
    next: String,
}

impl Oidc {
    /// Where the page is, with a slash at its end.
    pub(crate) fn page(&self) -> &Url {
        &self.0.settings.page
    }

    fn callback(&self) -> String {
        format!("{}{}", self.page(), CALLBACK.trim_start_matches('/'))
    }

    /// Where a browser is sent, and what it keeps meanwhile. `next` is where the person wants to go. The issuer is asked
    /// nothing, so this needs no turn: the turn is kept for the end, and who has begun can finish.
    pub(crate) async fn begin_page(&self, next: &str) -> Result<(Url, String), Error> {
        let found = self.0.issuer.found().await?;
        let (state, nonce, verifier) = (random()?, random()?, random()?);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let mut address = found.authorization_endpoint.clone();
        address
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.0.settings.client_id)
            .append_pair("redirect_uri", &self.callback())
            .append_pair("scope", &self.0.settings.scopes)
            .append_pair("state", &state)
            .append_pair("nonce", &nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        Ok((address, format!("{state}.{nonce}.{verifier}.{}", URL_SAFE_NO_PAD.encode(next))))
    }

    /// Who came back, and where they want to go.
    pub(crate) async fn finish_page(
        &self,
        kept: Option<&str>,
        returned: &Returned,
    ) -> Result<(Person, String), Error> {
        let began = kept.and_then(Kept::read).filter(|kept| {
            let state = returned.state.as_deref().unwrap_or_default();
            state.as_bytes().ct_eq(kept.state.as_bytes()).into()
        });
        let Some(began) = began else {
            return Err(Error::Unproven(
                "this sign-in was not begun in this browser, is done already, or took longer than 10 minutes; sign in again"
                    .to_owned(),
            ));
        };
        if returned.issuer.as_deref().is_some_and(|issuer| issuer != self.issuer()) {
            return Err(Error::Unproven("another issuer sent this answer; sign in again".to_owned()));
        }
        let code = match (&returned.error, &returned.code) {
            (None, Some(code)) if !code.is_empty() && code.len() <= LONGEST => code,
            (Some(error), _) => return Err(refused(error)),
            (None, _) => return Err(Error::Unproven("the issuer sent no code; sign in again".to_owned())),
        };
        let _turn = self.0.pace.turn(call::from()).await?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.callback()),
            ("code_verifier", began.verifier),
        ];
        let tokens = self.0.issuer.tokens(&form).await?.map_err(|refused| {
            let otherwise = || {
                Error::Unproven(
                    "the issuer does not take the code of this sign-in: it was used already, has expired, or was given to \
                     another browser; sign in again"
                        .to_owned(),
                )
            };
            refused.of_client().unwrap_or_else(otherwise)
        })?;
        Ok((self.person(tokens, Some(began.nonce)).await?, began.next))
    }
}

/// Why an issuer sent a browser back without a code.
fn refused(error: &str) -> Error {
    let code: String = error.chars().filter(|c| c.is_ascii_lowercase() || *c == '_').take(40).collect();
    match &*code {
        "access_denied" => Error::Denied("the sign-in was refused at the issuer".to_owned()),
        "server_error" | "temporarily_unavailable" => {
            Error::Away(format!("the issuer can't sign anybody in now ({code}); try again"))
        }
        _ => Error::Misfit(format!(
            "the issuer refuses this coordinator ({code}); an administrator compares --oidc-client-id, --oidc-scopes and the \
             redirect address with what is registered there"
        )),
    }
}

impl<'k> Kept<'k> {
    fn read(text: &'k str) -> Option<Self> {
        let mut parts = text.split('.');
        let (state, nonce, verifier, next) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let are_whole = [state, nonce, verifier].iter().all(|part| part.len() == 64);
        let next = String::from_utf8(URL_SAFE_NO_PAD.decode(next).ok()?).ok()?;
        (are_whole && parts.next().is_none()).then_some(Self { state, nonce, verifier, next })
    }
}

fn random() -> Result<String, Error> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| Error::Away(error.to_string()))?;
    Ok(hex(&random))
}
