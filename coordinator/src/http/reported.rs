//! The metrics of a sweep: which there are, and values that were computed after its jobs had finished.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use bt_documents::{ImportedMetrics, Metric, Metrics, Object};
use bt_proto::v1::{self, import_metrics_request::Kind};
use futures_util::{StreamExt, stream};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::reply::{Given, Reply};
use crate::clients::Clients;
use crate::rpc::status;

pub(super) async fn list(State(clients): State<Clients>, Path(sweep): Path<String>) -> Reply<Metrics> {
    let found = clients.find(&sweep).await?;
    let known = clients.manifests.get(found.id).await.map_err(status::manifest)?;
    let goals = &known.manifest.goals;
    let names = clients.queue.metric_names(found.id).await.map_err(status::queue)?;
    let metrics = names
        .into_iter()
        .map(|metric| Metric { goal: goals.get(&metric).map(|goal| goal.name().to_owned()), metric });
    Ok(Json(Metrics { metrics: metrics.collect() }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportMetrics {
    /// The metrics of each job by its number, such as `{"17": {"sharpe": 1.2}}`. All jobs get theirs, or none does.
    jobs: BTreeMap<u32, Object>,
    /// True: replace metrics that have another value.
    #[serde(default)]
    overwrite: bool,
    /// True: only say what would change.
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn import(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
    Given(given): Given<ImportMetrics>,
) -> Reply<ImportedMetrics> {
    let ImportMetrics { jobs, overwrite, dry_run } = given;
    let header = Kind::Header(v1::ImportMetricsHeader { sweep, overwrite, dry_run });
    let jobs = jobs.into_iter().map(|(job, metrics)| {
        let metrics = Value::Object(metrics).to_string();
        v1::JobMetrics { job, metrics }
    });
    let jobs = Kind::Jobs(v1::JobsMetrics { jobs: jobs.collect() });
    let messages = [header, jobs].map(|kind| Ok(v1::ImportMetricsRequest { kind: Some(kind) }));
    let v1::ImportMetricsReply { changed, unchanged, added, overwritten } =
        clients.receive_metrics(stream::iter(messages).boxed()).await?;
    Ok(Json(ImportedMetrics { changed, unchanged, added, overwritten, dry_run }))
}
