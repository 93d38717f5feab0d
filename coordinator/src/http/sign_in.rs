//! Signing in to the page with the firm's identity provider: the browser is sent to the issuer, and comes back with a code.
//!
//! What the browser keeps meanwhile is in a cookie that goes with top-level navigation from elsewhere (SameSite=Lax). The
//! session's cookie does not (Strict): so the answer to the code is a page that leads on, and no redirect, which would still
//! count as coming from the issuer.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use tonic::{Code, Status};

use super::login::{self, Doorway, cookie_of, is_own};
use super::page::{Frame, rendered};
use super::reply::Refused;
use crate::access::call;
use crate::oidc::{CALLBACK, Oidc, Returned};

const COOKIE: &str = "btctl_sign_in";
/// Seconds that a person may take at the issuer.
const HOLDS: u64 = 600;
/// Where a sign-in begins.
pub(super) const BEGIN: &str = "/login/oidc";

#[derive(Template)]
#[template(path = "signed_in.html")]
struct SignedIn {
    frame: Frame,
    name: String,
    target: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    next: String,
    /// The browser was sent to this address by its other one.
    #[serde(default)]
    moved: bool,
}

#[derive(Deserialize)]
pub(super) struct Came {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

/// Sends a browser to the issuer.
pub(super) async fn begin(
    State(Doorway { oidc, .. }): State<Doorway>,
    uri: Uri,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Response {
    let Some(oidc) = oidc else { return nobody(BEGIN) };
    let next = if is_own(&wanted.next) { wanted.next.as_str() } else { "" };
    // The issuer sends browsers back to one address of the page, where alone they would find what they keep.
    if !wanted.moved && !is_asked_at(&uri, &headers, &oidc) {
        let mut address = oidc.page().clone();
        address.set_path(&format!("{}{}", address.path(), BEGIN.trim_start_matches('/')));
        address.query_pairs_mut().append_pair("moved", "true").append_pair("next", next);
        return Redirect::to(address.as_str()).into_response();
    }
    match oidc.begin_page(next).await {
        Ok((address, kept)) => set(Redirect::to(address.as_str()).into_response(), &oidc, &kept, HOLDS),
        Err(error) => refused(&oidc, "../", next, error.into()),
    }
}

/// Whether a browser asks for the page at the address that the issuer knows.
fn is_asked_at(uri: &Uri, headers: &HeaderMap, oidc: &Oidc) -> bool {
    let named = ["x-forwarded-host", "host"].into_iter().find_map(|name| headers.get(name)?.to_str().ok());
    let named = named.or_else(|| uri.authority().map(|authority| authority.as_str()));
    let page = oidc.page();
    let own = page.port().map_or_else(
        || page.host_str().unwrap_or_default().to_owned(),
        |port| format!("{}:{port}", page.host_str().unwrap_or_default()),
    );
    named.is_none_or(|named| named.eq_ignore_ascii_case(&own))
}

/// A browser comes back from the issuer.
pub(super) async fn finish(
    State(Doorway { access, oidc }): State<Doorway>,
    parts: Parts,
    Query(came): Query<Came>,
) -> Response {
    let Some(oidc) = oidc else { return nobody(CALLBACK) };
    call::signs_in("", None);
    let kept = cookie_of(&parts.headers, COOKIE);
    let returned = Returned { code: came.code, state: came.state, error: came.error, issuer: came.iss };
    let signing_in = async {
        let (person, next) = oidc.finish_page(kept, &returned).await?;
        let cookie = access.sign_in_to_page(&oidc, &person).await?;
        Ok::<_, Status>((person, next, cookie))
    };
    let (person, next, cookie) = match signing_in.await {
        Ok(signed_in) => signed_in,
        Err(status) => return refused(&oidc, "../../", "", status),
    };
    let next = if is_own(&next) { next } else { String::new() };
    let page =
        SignedIn { frame: Frame::new("../../", "login"), name: person.name, target: format!("../../{next}") };
    let response = match rendered(&page) {
        Ok(page) => set(page, &oidc, "", 0),
        Err(refused) => return refused.into_response(),
    };
    // For the whole page, and not for what is below this address alone.
    let path = oidc.page().path().trim_end_matches('/');
    let path = if path.is_empty() { "/" } else { path };
    let attributes = format!("Path={path}; SameSite=Strict");
    login::with_cookie(response, &parts, &cookie, oidc.session().as_secs(), &attributes)
}

fn nobody(path: &str) -> Response {
    let status = Status::not_found(
        "nobody signs in so here: this coordinator has no identity provider (--oidc-issuer)",
    );
    super::page::refused(path, &Refused::from(status))
}

/// The page to log in with, and why it did not come about.
fn refused(oidc: &Oidc, root: &'static str, next: &str, status: Status) -> Response {
    let http = match status.code() {
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let message = format!("Nobody was signed in: {}", status.message());
    let mut response = login::page(root, &message, next, Some(oidc.host()));
    *response.status_mut() = http;
    response
}

/// Has the browser keep something until it comes back; nothing, for no time, once it has.
fn set(mut response: Response, oidc: &Oidc, kept: &str, seconds: u64) -> Response {
    let path = format!("{}{}", oidc.page().path(), BEGIN.trim_start_matches('/'));
    let secure = if oidc.page().scheme() == "https" { "; Secure" } else { "" };
    let text = format!("{COOKIE}={kept}; Path={path}; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    let Ok(mut value) = HeaderValue::from_str(&text) else {
        return Refused::internal("the page's address fits into no cookie".to_owned()).into_response();
    };
    value.set_sensitive(true);
    let headers = response.headers_mut();
    headers.append(header::SET_COOKIE, value);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The address of the callback holds a code.
    headers.insert(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer"));
    response
}
