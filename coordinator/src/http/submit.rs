//! Queues a sweep: the body is its manifest, as a file of it would be. Adds jobs to an open one.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use bt_documents::{AddedJobs, Estimate, HeldOut, Submitted};
use bt_model::manifest::{Format, Manifest};
use bt_proto::v1;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;
use tonic::Status;
use uuid::Uuid;

use super::reply::{Asked, Given, Refused, Reply};
use super::sweeps::listed;
use crate::clients::Clients;

/// Bytes of a manifest.
pub(super) const LARGEST: usize = 64 << 20;
/// Names the submit, as the `idempotency_key` of the address does.
const KEY: &str = "idempotency-key";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SubmitSweep {
    /// Whose sweep it is: one of the owners of the caller's token. If it is not given, the token's own name; `api` where
    /// nobody is asked who they are.
    owner: Option<String>,
    /// One key makes one sweep only, however often it is sent. The header `Idempotency-Key` may hold it as well.
    idempotency_key: Option<String>,
    /// True: take the results of identical jobs instead of running them again.
    #[serde(default)]
    reuse: bool,
    /// True: the sweep takes more jobs until it is closed; it may begin without any.
    #[serde(default)]
    open: bool,
    /// Why its jobs are to see data that the holdout of its family keeps from jobs. It spends a look.
    look: Option<String>,
    /// Tags to find it by, separated by commas.
    tags: Option<String>,
    /// Note on the sweep, for people.
    note: Option<String>,
}

/// Reads a manifest that somebody sent, whole: no file is beside it.
pub(super) async fn sent_manifest(clients: &Clients, body: &[u8], form: Format) -> Result<Manifest, Refused> {
    let mut draft = Manifest::parse(body, form, "the manifest").map_err(invalid)?;
    if draft.params_from.is_some() {
        return Err(Status::invalid_argument(
            "`params_from` names a file that the coordinator does not have; list its rows as `params`",
        )
        .into());
    }
    clients.read_axes(&mut draft).await?;
    Ok(draft.finish().map_err(invalid)?)
}

pub(super) async fn submit(
    State(clients): State<Clients>,
    Asked(asked): Asked<SubmitSweep>,
    headers: HeaderMap,
    body: Bytes,
) -> Reply<Submitted> {
    let manifest = sent_manifest(&clients, &body, form(&headers)?).await?;
    let header = v1::SubmitHeader {
        idempotency_key: key(asked.idempotency_key, &headers),
        owner: asked.owner.unwrap_or_default(),
        reuse: asked.reuse,
        open: asked.open,
        look: asked.look,
        tags: listed(asked.tags.as_deref()).map(str::to_owned).collect(),
        note: asked.note.unwrap_or_default(),
        ..v1::SubmitHeader::default()
    };
    let messages = stream::iter(bt_proto::submit::messages(&manifest, header)).map(Ok);
    let queued = clients.receive_submit(messages.boxed()).await?;
    let held_out = HeldOut::new(queued.cut_before, queued.look.map(v1::SpentLook::from));
    let (id, name) = (queued.id.to_string(), queued.name);
    Ok(Json(Submitted { id, name, jobs: queued.jobs, existed: queued.existed, held_out, reuse: None }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EstimateSweep {
    /// Whose sweep it would be, as for a submit.
    owner: Option<String>,
}

pub(super) async fn estimate(
    State(clients): State<Clients>,
    Asked(asked): Asked<EstimateSweep>,
    headers: HeaderMap,
    body: Bytes,
) -> Reply<Estimate> {
    let manifest = sent_manifest(&clients, &body, form(&headers)?).await?;
    let header = v1::SubmitHeader {
        idempotency_key: key(None, &headers),
        owner: asked.owner.unwrap_or_default(),
        ..v1::SubmitHeader::default()
    };
    let messages = stream::iter(bt_proto::submit::messages(&manifest, header)).map(Ok);
    Ok(Json(clients.estimate(messages.boxed()).await?.into()))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddJobs {
    /// One key adds to a sweep once only, however often it is sent. The header `Idempotency-Key` may hold it as well.
    idempotency_key: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JobsToAdd {
    /// The parameters of each job, as an object. Numbers keep their spelling.
    #[schemars(with = "Vec<bt_documents::Object>")]
    params: Vec<Box<RawValue>>,
}

pub(super) async fn add(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
    Asked(asked): Asked<AddJobs>,
    headers: HeaderMap,
    Given(JobsToAdd { params }): Given<JobsToAdd>,
) -> Reply<AddedJobs> {
    let rows: Vec<_> = params.iter().map(|row| row.get().to_owned()).collect();
    let added = clients.add_jobs(&sweep, &key(asked.idempotency_key, &headers), &rows).await?;
    let crate::queue::AddedJobs { first_job, jobs, existed } = added;
    Ok(Json(AddedJobs { first_job, jobs, existed }))
}

/// The key that names a call, or a new one.
fn key(asked: Option<String>, headers: &HeaderMap) -> String {
    let header = || headers.get(KEY).and_then(|key| key.to_str().ok()).map(str::to_owned);
    asked.or_else(header).unwrap_or_else(|| Uuid::new_v4().to_string())
}

fn invalid(error: bt_model::manifest::Error) -> Status {
    Status::invalid_argument(error.to_string())
}

/// In which form the manifest is. That a form must be said keeps pages of other sites from making this call, as with all
/// that changes something.
fn form(headers: &HeaderMap) -> Result<Format, Refused> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim() {
        "application/yaml" | "application/x-yaml" => Ok(Format::Yaml),
        "application/toml" => Ok(Format::Toml),
        "application/json" => Ok(Format::Json),
        _ => Err(Refused::media_type(
            "send a manifest, with the header `Content-Type: application/yaml` (or application/toml, application/json)",
        )),
    }
}
