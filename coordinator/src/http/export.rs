//! All of a sweep's jobs as one table. It is made on disk before the answer begins, so that what is wrong has a status of
//! its own and half a table is never taken for a whole one.

use std::fs::File;
use std::io::{BufWriter, Seek};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bt_analysis::export::{self, Export, Form};
use bt_proto::v1;
use bt_proto::v1::sweeps_server::Sweeps as _;
use futures_util::StreamExt;
use tokio::sync::Semaphore;
use tokio_util::io::ReaderStream;
use tonic::{Request, Status};

use super::download::attachment;
use super::reply::Refused;
use super::sweeps::report;
use crate::clients::Clients;

/// Tables that are made at once; others wait.
static AT_ONCE: Semaphore = Semaphore::const_new(2);
/// Jobs that are written at once.
const JOBS: usize = 1_000;

pub(super) async fn parquet(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
) -> Result<Response, Refused> {
    exported(&clients, sweep, Form::Parquet).await
}

pub(super) async fn csv(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
) -> Result<Response, Refused> {
    exported(&clients, sweep, Form::Csv).await
}

pub(super) async fn json(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
) -> Result<Response, Refused> {
    exported(&clients, sweep, Form::Json).await
}

async fn exported(clients: &Clients, sweep: String, form: Form) -> Result<Response, Refused> {
    let sweep = report(clients, sweep).await?.sweep;
    let name = format!("{}.{}", sweep.name, form.name());
    let (file, size) = {
        let _one_of_few = AT_ONCE.acquire().await.map_err(|error| Status::unavailable(error.to_string()))?;
        written(clients, sweep, form).await?
    };
    let headers = [
        (header::CONTENT_TYPE, form.media_type().to_owned()),
        (header::CONTENT_LENGTH, size.to_string()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CONTENT_DISPOSITION, attachment(&name)),
    ];
    let body = Body::from_stream(ReaderStream::new(tokio::fs::File::from_std(file)));
    Ok((headers, body).into_response())
}

/// The table in a file without a name, and how long it is.
async fn written(clients: &Clients, sweep: v1::Sweep, form: Form) -> Result<(File, u64), Refused> {
    let request = v1::ListJobsRequest { sweep: sweep.id.clone(), ..v1::ListJobsRequest::default() };
    let jobs = clients.list_jobs(Request::new(request)).await?.into_inner();
    let mut jobs = jobs.ready_chunks(JOBS);
    let mut export = blocking(move || {
        let directory = std::env::temp_dir();
        let out = BufWriter::new(tempfile::tempfile_in(&directory)?);
        Export::begin(form, sweep, &directory, out)
    })
    .await?;
    while let Some(chunk) = jobs.next().await {
        let chunk = chunk.into_iter().collect::<Result<Vec<v1::Job>, Status>>()?;
        export = blocking(move || {
            chunk.iter().try_for_each(|job| export.take(job))?;
            Ok(export)
        })
        .await?;
    }
    blocking(move || {
        let (_, out) = export.finish()?;
        let mut file = out.into_inner().map_err(|error| error.into_error())?;
        let size = file.stream_position()?;
        file.rewind()?;
        Ok((file, size))
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, export::Error> + Send + 'static,
) -> Result<T, Refused> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| Refused::internal(error.to_string()))?;
    done.map_err(|error| Refused::internal(error.to_string()))
}
