//! Logging in to the page with a token, and out again. The token is sent once and kept nowhere; the browser keeps a cookie that
//! no script can read and that no other site's page sends along.

use askama::Template;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use url::form_urlencoded;

use super::guarded::Guarded;
use super::page::{Frame, is_sent_by_own_page, rendered, up};
use super::reply::Refused;
use super::sign_in;
use crate::access::rights::Right;
use crate::access::{Access, PAGE_SESSION, Unknown};
use crate::door::Pass;
use crate::oidc::{CALLBACK, Oidc};

const COOKIE: &str = "btctl_session";
/// Bytes of the form.
const LARGEST: usize = 8 << 10;
/// Letters of an address that a browser is sent back to.
const LONGEST: usize = 2_000;

/// What answers here.
#[derive(Clone, Debug)]
pub(crate) struct Doorway {
    pub(crate) access: Access,
    pub(crate) oidc: Option<Oidc>,
}

pub(super) fn router() -> Guarded<Doorway> {
    Guarded::new()
        .get("/login", Right::None, show)
        .post("/login", Right::None, log_in)
        .get(sign_in::BEGIN, Right::None, sign_in::begin)
        .get(CALLBACK, Right::None, sign_in::finish)
        .post("/logout", Right::None, log_out)
}

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'l> {
    frame: Frame,
    /// Empty on the first look.
    message: &'l str,
    /// Where to go afterwards, from the first page's directory.
    next: &'l str,
    /// The host of the issuer that people can sign in with.
    issuer: Option<&'l str>,
}

impl<'l> Login<'l> {
    fn new(root: &'static str, message: &'l str, next: &'l str, issuer: Option<&'l str>) -> Self {
        let next = if is_own(next) { next } else { "" };
        Self { frame: Frame::new(root, "login"), message, next, issuer }
    }

    /// The same as a part of an address.
    fn next_encoded(&self) -> String {
        form_urlencoded::byte_serialize(self.next.as_bytes()).collect()
    }
}

/// The cookie of a browser that has logged in.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<&str> {
    cookie_of(headers, COOKIE)
}

/// The value of a cookie.
pub(super) fn cookie_of<'h>(headers: &'h HeaderMap, named: &str) -> Option<&'h str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| *name == named).map(|(_, value)| value).next()
}

/// The page to log in with, where another one was asked for.
pub(super) fn needed(uri: &Uri, headers: &HeaderMap, why: &str, issuer: Option<&str>) -> Response {
    let asked = uri.path_and_query().map_or("/", |asked| asked.as_str());
    // On the first look there is nothing to complain about.
    let message = if cookie(headers).is_some() { why } else { "" };
    page(up(uri.path()), message, asked.trim_start_matches('/'), issuer)
}

pub(super) fn page(root: &'static str, message: &str, next: &str, issuer: Option<&str>) -> Response {
    match rendered(&Login::new(root, message, next, issuer)) {
        Ok(page) => (StatusCode::UNAUTHORIZED, page).into_response(),
        Err(refused) => refused.into_response(),
    }
}

/// Whether an address leads to a page of this coordinator: below the first page's directory. To browsers `%2e` is a dot.
pub(super) fn is_own(next: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._~%/?=&+,".contains(c);
    let (path, _) = next.split_once('?').unwrap_or((next, ""));
    next.len() <= LONGEST
        && next.chars().all(fits)
        && !next.starts_with('/')
        && !path.to_ascii_lowercase().replace("%2e", ".").split('/').any(|part| part == "..")
}

async fn show(State(Doorway { access, oidc }): State<Doorway>, headers: HeaderMap) -> Response {
    let is_in = match cookie(&headers) {
        Some(cookie) => access.of_cookie(cookie).await.is_ok(),
        None => !access.asks(),
    };
    match is_in {
        true => Redirect::to("./").into_response(),
        false => match rendered(&Login::new("", "", "", oidc.as_ref().map(Oidc::host))) {
            Ok(page) => page,
            Err(refused) => refused.into_response(),
        },
    }
}

async fn log_in(State(Doorway { access, oidc }): State<Doorway>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let issuer = oidc.as_ref().map(Oidc::host);
    if let Err(refused) = is_sent_by_own_page(&parts.headers) {
        return super::page::refused("/login", &refused);
    }
    let Ok(form) = to_bytes(body, LARGEST).await else {
        return page("", "That was no token: it is too long.", "", issuer);
    };
    let field = |name: &str| {
        let found = form_urlencoded::parse(&form).find(|(key, _)| key == name);
        found.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let next = field("next");
    let logged_in = async {
        let known = access.of_token(&field("token")).await?;
        if !known.identity.may(Right::Read) {
            let why = "an agent's token is not for the page".to_owned();
            return Err(Unknown::Refused { why, name: None });
        }
        access.log_in(&known).await
    };
    match logged_in.await {
        Ok(cookie) => {
            let target = if is_own(&next) { format!("./{next}") } else { "./".to_owned() };
            let response = Redirect::to(&target).into_response();
            with_cookie(response, &parts, &cookie, PAGE_SESSION.as_secs(), STRICT)
        }
        Err(Unknown::Refused { why, .. }) => page("", &why, &next, issuer),
        Err(Unknown::NotNow(why)) => {
            super::page::refused("/login", &Refused::from(tonic::Status::unavailable(why)))
        }
    }
}

async fn log_out(State(Doorway { access, .. }): State<Doorway>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if let Err(refused) = is_sent_by_own_page(&parts.headers) {
        return super::page::refused("/logout", &refused);
    }
    if let Some(cookie) = cookie(&parts.headers)
        && let Err(error) = access.log_out(cookie).await
    {
        return super::page::refused(
            "/logout",
            &Refused::from(tonic::Status::unavailable(error.to_string())),
        );
    }
    with_cookie(Redirect::to("login").into_response(), &parts, "", 0, STRICT)
}

/// The session's cookie goes with calls of its own page alone. Without a path it is for the addresses below the one that set it,
/// so that it stays below a proxy's path.
const STRICT: &str = "SameSite=Strict";

/// Gives a browser the session's cookie, for so many seconds; `attributes` say which calls it goes with.
pub(super) fn with_cookie(
    mut response: Response,
    parts: &Parts,
    cookie: &str,
    seconds: u64,
    attributes: &str,
) -> Response {
    let forwarded =
        parts.headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_secret = parts.extensions.get::<Pass>().is_some_and(Pass::is_encrypted)
        || forwarded.split(',').next().is_some_and(|first| first.trim().eq_ignore_ascii_case("https"));
    let secure = if is_secret { "; Secure" } else { "" };
    let text = format!("{COOKIE}={cookie}; HttpOnly; {attributes}; Max-Age={seconds}{secure}");
    match HeaderValue::from_str(&text) {
        Ok(mut value) => {
            value.set_sensitive(true);
            response.headers_mut().append(header::SET_COOKIE, value);
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => Refused::internal(error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for own in ["", "sweeps/sma-cross", "sweeps/a%2Fb/jobs/3?tail=5", "queue"] {
            assert!(is_own(own), "{own}");
        }
        for other in [
            "/evil",
            "//evil.example",
            "https://evil.example",
            "\\evil",
            "a/../../b",
            "a/%2e%2E/b",
            ".%2e",
            "javascript:x",
            "a b",
        ] {
            assert!(!is_own(other), "{other}");
        }
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let headers =
            |value: &str| [(header::COOKIE, value.parse().unwrap())].into_iter().collect::<HeaderMap>();
        assert_eq!(cookie(&headers("a=1; btctl_session=abc; b=2")), Some("abc"));
        assert_eq!(cookie(&headers("xbtctl_session=abc")), None);
        assert_eq!(cookie(&HeaderMap::new()), None);
    }
}
