//! The log of a job, as it comes.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bt_proto::v1;
use bt_proto::v1::sweeps_server::Sweeps as _;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use schemars::JsonSchema;
use serde::Deserialize;
use tonic::{Request, Status};

use super::reply::{Asked, Refused};
use crate::clients::Clients;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadLog {
    /// Of this attempt; the latest if it is not given.
    attempt: Option<u32>,
    /// True: go on until the job has finished.
    #[serde(default)]
    follow: bool,
    /// Only this stream: stdout or stderr.
    stream: Option<String>,
}

pub(super) async fn read(
    State(clients): State<Clients>,
    Path((sweep, job)): Path<(String, u32)>,
    Asked(asked): Asked<ReadLog>,
) -> Result<Response, Refused> {
    let only = match asked.stream.as_deref() {
        None => None,
        Some("stdout") => Some(v1::log_line::Stream::Stdout),
        Some("stderr") => Some(v1::log_line::Stream::Stderr),
        Some(other) => {
            let told = format!("{other:?} is not a stream of a log; streams are stdout and stderr");
            return Err(Status::invalid_argument(told).into());
        }
    };
    let request = v1::LogsRequest { sweep, job, attempt: asked.attempt, follow: asked.follow };
    let mut lines = clients.logs(Request::new(request)).await?.into_inner();
    // What is wrong from the start has a status of its own; later the answer breaks off.
    let first = lines.next().await.transpose()?;
    let lines = stream::iter(first.map(Ok)).chain(lines);
    let texts = lines.filter_map(move |line| {
        let text = match line {
            Ok(line) if only.is_none_or(|only| line.stream() == only) => Some(Ok(Bytes::from(line.text))),
            Ok(_) => None,
            Err(status) => Some(Err(status)),
        };
        std::future::ready(text)
    });
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        // nginx would collect it otherwise.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(texts)).into_response())
}
