//! The page: what a person looks at, made from the templates by the server alone. It needs no script; where one may run,
//! parts of it are asked for again every few seconds.
//!
//! Everything that is shown is escaped by the templates (`tests/it/tidy.rs` allows no exception), and the content policy
//! lets nothing run and nothing come from elsewhere. Addresses in it are relative, so that a proxy can serve it below any
//! path. What it shows is what the API answers.

mod agents;
mod assess;
mod buttons;
mod curve;
mod job;
mod lines;
mod map;
mod own;
mod plot;
mod preview;
mod progress;
mod queue;
mod ranking;
mod report;
mod schedules;
mod standing;
mod sweep;
mod sweeps;
mod tail;
mod timeline;
mod trouble;
mod walk;

use std::convert::Infallible;
use std::future::ready;
use std::sync::LazyLock;

use askama::Template;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{Html, IntoResponse, Response};
use bt_documents::Counts;
use bt_model::hex::hex;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

pub(super) use self::own::is_sent_by_own_page;
pub(super) use self::report::{get as get_report, report};
pub(super) use self::trouble::{NoSuchPath, for_people, is_page_asked, refused, up};
use self::trouble::{shown, shown_of};
use super::guarded::Guarded;
use super::reply::Refused;
use crate::access::call;
use crate::access::rights::Right;
use crate::clients::Clients;

const STYLE: &str = include_str!("../../../assets/style.css");

/// What keeps parts of a page up to date where scripts run: htmx, as it was released.
const SCRIPT: &str = include_str!("../../../assets/htmx-4.0.1.min.js");

/// What browsers show beside the page's name.
const ICON: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#1c7c4a"/><path d="M3 11l3-4 3 2 4-6" fill="none" stroke="#fff" stroke-width="2"/></svg>"##;

static ICON_AT: LazyLock<String> = LazyLock::new(|| asset(ICON, "svg"));
static SCRIPT_AT: LazyLock<String> = LazyLock::new(|| asset(SCRIPT, "js"));

/// Where the style is: its name holds its hash, so that browsers may keep it for ever.
static STYLE_AT: LazyLock<String> = LazyLock::new(|| asset(STYLE, "css"));

fn asset(content: &str, ending: &str) -> String {
    format!("assets/{}.{ending}", hex(&Sha256::digest(content.as_bytes())[..8]))
}

pub(super) fn router() -> Guarded<Clients> {
    Guarded::new()
        .get("/", Right::Read, sweeps::list)
        .get("/sweeps/{sweep}", Right::Read, sweep::show)
        .get("/sweeps/{sweep}/assess", Right::Read, assess::show)
        .post("/sweeps/{sweep}/cancel", Right::Change, buttons::cancel)
        .post("/sweeps/{sweep}/pause", Right::Change, buttons::pause)
        .post("/sweeps/{sweep}/resume", Right::Change, buttons::resume)
        .post("/sweeps/{sweep}/retry", Right::Change, buttons::retry)
        .get("/sweeps/{sweep}/jobs/{job}", Right::Read, job::show)
        .get("/sweeps/{sweep}/jobs/{job}/preview", Right::Read, preview::show)
        .get("/sweeps/{sweep}/jobs/{job}/image", Right::Read, preview::send_image)
        .get("/queue", Right::Read, queue::list)
        .get("/schedules", Right::Read, schedules::list)
        .get("/agents", Right::Read, agents::list)
        .post("/agents/{agent}/{action}", Right::Operate, buttons::drain)
        .get(&format!("/{}", *STYLE_AT), Right::None, style)
        .get(&format!("/{}", *SCRIPT_AT), Right::None, script)
        .get(&format!("/{}", *ICON_AT), Right::None, icon)
        // Browsers ask for it beside what is no page, such as a log.
        .get("/favicon.ico", Right::None, icon)
}

async fn style() -> impl IntoResponse {
    kept_for_ever("text/css; charset=utf-8", STYLE)
}

async fn icon() -> impl IntoResponse {
    kept_for_ever("image/svg+xml", ICON)
}

async fn script() -> impl IntoResponse {
    kept_for_ever("text/javascript; charset=utf-8", SCRIPT)
}

fn kept_for_ever(kind: &'static str, content: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, content)
}

/// What is around every page.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// The way from the page's directory to the first page's.
    pub(super) root: &'static str,
    /// Which of the pages in the header it is.
    pub(super) here: &'static str,
    pub(super) style: &'static str,
    pub(super) script: &'static str,
    pub(super) icon: &'static str,
    /// The name and the role of who has logged in.
    pub(super) who: Option<String>,
}

impl Frame {
    pub(super) fn new(root: &'static str, here: &'static str) -> Self {
        let who = call::identity().filter(|identity| identity.is_known && !identity.is_vouched);
        let who = who.map(|identity| format!("{} ({})", identity.name, identity.role));
        Self { root, here, style: &STYLE_AT, script: &SCRIPT_AT, icon: &ICON_AT, who }
    }
}

/// Nothing is run but the one script, which asks only this server, and nothing comes from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; \
    frame-ancestors 'none'; base-uri 'none'";

/// A page, ready to be sent.
pub(super) fn rendered(page: &impl Template) -> Result<Response, Refused> {
    Ok((headers(), Html(text(page)?)).into_response())
}

/// Whether a page asks for what changes by itself in it.
fn is_update(headers: &HeaderMap) -> bool {
    headers.get("hx-request").is_some_and(|value| value == "true")
}

/// Where in a page the part belongs that takes longer to make than the rest.
const LATER: &str = "<!--later-->";

/// A page whose beginning is sent at once; what `making` makes follows where the page has [`LATER`], and then its end.
fn rendered_in_parts(
    page: &impl Template,
    making: impl Future<Output = Result<String, Refused>> + Send + 'static,
) -> Result<Response, Refused> {
    let text = text(page)?;
    let Some((beginning, end)) = text.split_once(LATER) else {
        return Err(Refused::internal("the page has no place for its second part".to_owned()));
    };
    let (beginning, end) = (beginning.to_owned(), end.to_owned());
    let rest = async move {
        let part = match making.await {
            Ok(part) => part,
            // The page has begun, so that only its rest can say it.
            Err(refused) => self::text(&Missing { message: refused.message() }).unwrap_or_default(),
        };
        Ok::<_, Infallible>(part + &end)
    };
    let body = Body::from_stream(stream::once(ready(Ok(beginning))).chain(stream::once(rest)));
    Ok((headers(), [(header::CONTENT_TYPE, "text/html; charset=utf-8")], body).into_response())
}

fn text(page: &impl Template) -> Result<String, Refused> {
    page.render().map_err(|error| Refused::internal(format!("the page can't be made: {error}")))
}

fn headers() -> [(HeaderName, &'static str); 4] {
    [
        (HeaderName::from_static("content-security-policy"), POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("referrer-policy"), "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ]
}

/// What stands in the place of a part that can't be made.
#[derive(Template)]
#[template(source = "<p class=\"trouble\" role=\"alert\">{{ message }}</p>", ext = "html")]
struct Missing<'m> {
    message: &'m str,
}

/// A name and what is said of it.
struct Fact {
    name: String,
    text: String,
}

impl Fact {
    fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }
}

/// A bar that shows how many jobs are in which state.
struct Progress {
    parts: Vec<Part>,
    /// The same in words.
    text: String,
}

struct Part {
    state: &'static str,
    /// Percent.
    from: f64,
    width: f64,
}

impl Progress {
    fn of(counts: &Counts) -> Self {
        let Counts { running, succeeded, failed, cancelled, pruned, .. } = *counts;
        let total = f64::from(counts.total());
        let states = [
            ("succeeded", succeeded),
            ("failed", failed),
            ("cancelled", cancelled),
            ("pruned", pruned),
            ("running", running),
        ];
        let mut parts = Vec::new();
        let mut from = 0.0;
        for (state, jobs) in states.into_iter().filter(|(_, jobs)| *jobs > 0) {
            let width = 100.0 * f64::from(jobs) / total;
            parts.push(Part { state, from, width });
            from += width;
        }
        Self { parts, text: counts.words() }
    }
}

/// `1 was`, `2 were`
fn were(jobs: u32) -> String {
    format!("{jobs} {}", if jobs == 1 { "was" } else { "were" })
}

/// `5m 3s ago`; empty if it is not known.
fn ago(time: Option<Timestamp>) -> String {
    time.map_or_else(String::new, |time| format!("{} ago", since(time, Timestamp::now())))
}

/// The time between two points, in its two largest units.
fn since(from: Timestamp, to: Timestamp) -> String {
    bt_model::span::span(to.duration_since(from).try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_jobs() {
        let counts = Counts { queued: 40, running: 10, succeeded: 30, failed: 10, cancelled: 0, pruned: 10 };
        let progress = Progress::of(&counts);
        let parts: Vec<_> = progress.parts.iter().map(|part| (part.state, part.from, part.width)).collect();
        assert_eq!(
            parts,
            [
                ("succeeded", 0.0, 30.0),
                ("failed", 30.0, 10.0),
                ("pruned", 40.0, 10.0),
                ("running", 50.0, 10.0)
            ]
        );
        assert_eq!(progress.text, "30 succeeded, 10 failed, 10 pruned, 10 running, 40 queued");
    }
}
