//! Counts and times the calls that come in, over gRPC and HTTP.
//!
//! What callers choose (paths, methods that there are not) never becomes a label: a call is counted by the template of its
//! route, or by a method that is described; all others are one.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Instant;

use anyhow::Context as _;
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use bt_measures::{GRPC, GRPC_TIME, HTTP, HTTP_TIME};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::{Code, Status};
use tracing::{Instrument, info_span};

/// What has no route, or no description.
const OTHER: &str = "other";

/// Everything that is served, with each call counted.
pub(crate) fn measured(router: Router) -> anyhow::Result<Router> {
    let mut methods = BTreeMap::new();
    for described in [bt_proto::DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET] {
        let set = FileDescriptorSet::decode(described).context("read the descriptions of the services")?;
        for file in set.file {
            for service in &file.service {
                for method in &service.method {
                    let name = format!("{}.{}/{}", file.package(), service.name(), method.name());
                    methods.insert(format!("/{name}"), kept(&name));
                }
            }
        }
    }
    let methods = Arc::new(methods);
    Ok(router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let methods = methods.clone();
        async move {
            match is_grpc(request.headers()) {
                true => {
                    let method = methods.get(request.uri().path()).copied().unwrap_or(OTHER);
                    grpc(method, request, next).await
                }
                false => http(request, next).await,
            }
        }
    })))
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// A text that the program itself has chosen, kept for good. There is a bounded number of them.
fn kept(text: &str) -> &'static str {
    static KEPT: RwLock<BTreeSet<&'static str>> = RwLock::new(BTreeSet::new());
    if let Some(known) = KEPT.read().unwrap_or_else(PoisonError::into_inner).get(text) {
        return known;
    }
    let mut kept = KEPT.write().unwrap_or_else(PoisonError::into_inner);
    let new: &'static str = String::leak(text.to_owned());
    kept.insert(new);
    new
}

async fn http(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or(OTHER, |path| kept(path.as_str()));
    let began = Instant::now();
    let response = next.run(request).await;
    HTTP_TIME.record([route], began.elapsed());
    HTTP.add([route, kept(response.status().as_str())], 1);
    response
}

async fn grpc(method: &'static str, request: Request, next: Next) -> Response {
    let mut call = Call { method, began: Instant::now(), code: None };
    let response = next.run(request).instrument(info_span!("call", method)).await;
    call.note(response.headers());
    response.map(|body| Body::new(Watched { body, call }))
}

/// A call over gRPC; it is counted when it ends, and as cancelled if its caller left before its code was known.
struct Call {
    method: &'static str,
    began: Instant,
    code: Option<Code>,
}

impl Call {
    fn note(&mut self, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            self.code = Some(status.code());
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        GRPC_TIME.record([self.method], self.began.elapsed());
        GRPC.add([self.method, name(self.code.unwrap_or(Code::Cancelled))], 1);
    }
}

fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}

/// An answer over gRPC, whose end says how the call ended.
struct Watched {
    body: Body,
    call: Call,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            self.call.note(trailers);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
