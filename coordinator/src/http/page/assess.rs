//! How much of a sweep's best result is luck, in sentences and figures.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use bt_documents::main_metric;
use serde::Deserialize;

use super::{Fact, Frame, rendered_in_parts, shown, text};
use crate::assess::Question;
use crate::clients::Clients;
use crate::http::reply::{Asked, Refused};
use crate::rpc::status;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    by: String,
}

#[derive(Template)]
#[template(path = "assess.html")]
struct Page {
    frame: Frame,
    id: String,
    name: String,
    metrics: Vec<String>,
    by: String,
}

/// The part that takes time.
#[derive(Template)]
#[template(path = "judged.html")]
struct Judged {
    sentences: Vec<String>,
    figures: Vec<Fact>,
    missing: Vec<String>,
    hints: Vec<String>,
}

pub(super) async fn show(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
    Asked(asked): Asked<Wanted>,
) -> Response {
    let frame = Frame::new("../../", "sweep");
    shown(frame.clone(), async {
        let found = clients.find(&sweep).await?;
        let metrics = clients.queue.metric_names(found.id).await.map_err(status::queue)?;
        let known = clients.manifests.get(found.id).await.map_err(status::manifest)?;
        let usual = main_metric(known.manifest.goals.keys(), &metrics).unwrap_or_default().to_owned();
        let by = if asked.by.is_empty() { usual } else { asked.by };
        let id = found.id.to_string();
        let page = Page { frame, id: id.clone(), name: found.name, metrics, by: by.clone() };
        rendered_in_parts(&page, async move { judged(&clients, &id, &by).await })
    })
    .await
}

/// A sweep judged by a metric, or by the one that it is about if none is named, as text.
pub(super) async fn judged(clients: &Clients, sweep: &str, by: &str) -> Result<String, Refused> {
    let by = Some(by.to_owned()).filter(|by| !by.is_empty());
    let judged = clients.judged(sweep, Question { by, ..Question::default() }).await?;
    let assessment = &judged.assessment;
    let is_known = assessment.best.as_ref().is_some_and(|best| best.sharpe.is_some());
    let figures = if is_known { assessment.figures() } else { Vec::new() };
    text(&Judged {
        sentences: assessment.words.clone(),
        figures: figures.into_iter().map(|(name, value)| Fact::new(name, value)).collect(),
        missing: assessment.missing.clone(),
        hints: assessment.hints.clone(),
    })
}
