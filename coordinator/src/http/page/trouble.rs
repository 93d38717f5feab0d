//! What a person sees where a page can't be: why, and where to go from there.

use askama::Template;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bt_model::percent;

use super::{Frame, rendered};
use crate::clients::Clients;
use crate::http::reply::Refused;

/// Names that may have been meant.
const NEAR: usize = 5;
/// The way up from the deepest page.
const UP: &str = "../../../../../../../../";

#[derive(Template)]
#[template(path = "trouble.html")]
struct Trouble<'t> {
    frame: Frame,
    title: &'t str,
    message: &'t str,
    /// It is expected to pass: the page asks again.
    is_passing: bool,
    lead: &'t str,
    near: Vec<Way>,
}

/// Where somebody may have wanted to go.
struct Way {
    /// From the first page's directory.
    address: String,
    text: String,
}

/// A page, or one that says why there is none.
pub(super) async fn shown(frame: Frame, making: impl Future<Output = Result<Response, Refused>>) -> Response {
    match making.await {
        Ok(page) => page,
        Err(refused) => page(frame, &refused, "", Vec::new()),
    }
}

/// A page of a sweep, or one that says why there is none, and names what may have been meant.
pub(super) async fn shown_of(
    clients: &Clients,
    sweep: &str,
    frame: Frame,
    making: impl Future<Output = Result<Response, Refused>>,
) -> Response {
    let refused = match making.await {
        Ok(page) => return page,
        Err(refused) => refused,
    };
    if refused.status() != StatusCode::NOT_FOUND {
        return page(frame, &refused, "", Vec::new());
    }
    if let Ok(found) = clients.find(sweep).await {
        let way = Way { address: format!("sweeps/{}", found.id), text: found.name };
        return page(frame, &refused, "Its sweep is there:", vec![way]);
    }
    // That there are none to name is no other trouble.
    let near = clients.queue.near_sweeps(sweep, NEAR).await.unwrap_or_default();
    let way = |name: String| Way {
        address: format!("sweeps/{}", percent::encoded(name.as_bytes(), b"")),
        text: name,
    };
    page(frame, &refused, "These are named alike:", near.into_iter().map(way).collect())
}

/// The page of a refusal, for the address that was asked for.
pub(in crate::http) fn refused(path: &str, refused: &Refused) -> Response {
    page(Frame::new(up(path), "nowhere"), refused, "", Vec::new())
}

fn page(frame: Frame, refused: &Refused, lead: &str, near: Vec<Way>) -> Response {
    let status = refused.status();
    let is_passing = status == StatusCode::SERVICE_UNAVAILABLE;
    let title = match status {
        StatusCode::NOT_FOUND => "It is not here",
        StatusCode::SERVICE_UNAVAILABLE => "Not now",
        status if status.is_server_error() => "It did not work",
        _ => "That can't be done",
    };
    let trouble = Trouble { frame, title, message: refused.message(), is_passing, lead, near };
    match rendered(&trouble) {
        Ok(page) => (status, page).into_response(),
        Err(refused) => refused.into_response(),
    }
}

/// Answers a browser that asks for an address that there is not with a page. The API's callers get JSON.
pub(in crate::http) async fn for_people(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let is_asked = is_page_asked(request.method(), &path, request.headers());
    let response = next.run(request).await;
    let is_refused = response.extensions().get::<NoSuchPath>().is_some();
    match is_asked && is_refused {
        true => page(Frame::new(up(&path), "nowhere"), &Refused::no_such_page(&path), "", Vec::new()),
        false => response,
    }
}

/// What an answer has that says that there is no such address.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct NoSuchPath;

pub(in crate::http) fn is_page_asked(method: &Method, path: &str, headers: &HeaderMap) -> bool {
    let kinds = headers.get(header::ACCEPT).and_then(|kinds| kinds.to_str().ok()).unwrap_or_default();
    matches!(*method, Method::GET | Method::HEAD) && kinds.contains("text/html") && !path.starts_with("/api/")
}

/// The way from a path's directory to the first page's.
pub(in crate::http) fn up(path: &str) -> &'static str {
    let deep = path.matches('/').count().saturating_sub(1);
    &UP[..UP.len().min(3 * deep)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_for_those_who_ask_for_one() {
        let asked = |path: &str, accept: &str| {
            let headers = [(header::ACCEPT, accept.parse().unwrap())].into_iter().collect();
            is_page_asked(&Method::GET, path, &headers)
        };
        assert!(asked("/nothing", "text/html,application/xhtml+xml,*/*;q=0.8"));
        assert!(!asked("/api/nothing", "text/html"));
        assert!(!asked("/nothing", "*/*"));
    }

    #[test]
    fn links_lead_up_from_any_depth() {
        assert_eq!(["/a", "/a/b", "/a/b/c/"].map(up), ["", "../", "../../../"]);
        assert_eq!(up(&"/x".repeat(50)), UP);
    }
}
