//! Answers and refusals: JSON, with the status that HTTP has for what went wrong.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bt_documents::{Refusal, Unreadable};
use serde::de::DeserializeOwned;
use tonic::{Code, Status};

use crate::rpc::status::RETRY_AFTER;

/// What a call answers with.
pub(super) type Reply<T> = Result<Json<T>, Refused>;

/// Why a call was refused.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// In how many seconds the same may be asked again, where that is known.
    after: Option<u64>,
}

impl Refused {
    pub(super) fn no_such_path(path: &str) -> Self {
        let message = format!("there is nothing at {path}; /api/openapi.json describes what there is");
        Self { status: StatusCode::NOT_FOUND, code: "not_found", message, after: None }
    }

    /// The same for a person.
    pub(super) fn no_such_page(path: &str) -> Self {
        let message = format!("There is no page {path}. A link may be old, or an address mistyped.");
        Self { status: StatusCode::NOT_FOUND, code: "not_found", message, after: None }
    }

    pub(super) fn other_method(path: &str) -> Self {
        let message = format!("{path} takes another method; /api/openapi.json describes which");
        Self { status: StatusCode::METHOD_NOT_ALLOWED, code: "unimplemented", message, after: None }
    }

    pub(super) fn internal(message: String) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code: "internal", message, after: None }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// What was sent is in no form that is taken.
    pub(super) fn media_type(message: &str) -> Self {
        Self::invalid(StatusCode::UNSUPPORTED_MEDIA_TYPE, message.to_owned())
    }

    fn invalid(status: StatusCode, message: String) -> Self {
        Self { status, code: "invalid_argument", message, after: None }
    }
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        let (http, code) = match status.code() {
            Code::InvalidArgument | Code::OutOfRange => (StatusCode::BAD_REQUEST, "invalid_argument"),
            Code::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Code::AlreadyExists => (StatusCode::CONFLICT, "already_exists"),
            Code::FailedPrecondition => (StatusCode::CONFLICT, "failed_precondition"),
            Code::Aborted => (StatusCode::CONFLICT, "aborted"),
            Code::PermissionDenied => (StatusCode::FORBIDDEN, "permission_denied"),
            Code::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            Code::ResourceExhausted => (StatusCode::INSUFFICIENT_STORAGE, "resource_exhausted"),
            Code::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Code::DeadlineExceeded => (StatusCode::GATEWAY_TIMEOUT, "deadline_exceeded"),
            Code::Unimplemented => (StatusCode::NOT_IMPLEMENTED, "unimplemented"),
            Code::Ok | Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        };
        // What an owner may have, as opposed to a store that is full.
        let after = status.metadata().get(RETRY_AFTER).and_then(|after| after.to_str().ok());
        let http = if after.is_some() { StatusCode::TOO_MANY_REQUESTS } else { http };
        let after = after.and_then(|after| after.parse().ok());
        Self { status: http, code, message: status.message().to_owned(), after }
    }
}

/// For a call of gRPC that answers with what is made for HTTP.
impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let code = match refused.code {
            "invalid_argument" => Code::InvalidArgument,
            "not_found" => Code::NotFound,
            "already_exists" => Code::AlreadyExists,
            "failed_precondition" => Code::FailedPrecondition,
            "aborted" => Code::Aborted,
            "permission_denied" => Code::PermissionDenied,
            "unauthenticated" => Code::Unauthenticated,
            "resource_exhausted" => Code::ResourceExhausted,
            "unavailable" => Code::Unavailable,
            "deadline_exceeded" => Code::DeadlineExceeded,
            "unimplemented" => Code::Unimplemented,
            _ => Code::Internal,
        };
        Self::new(code, refused.message)
    }
}

impl From<Unreadable> for Refused {
    fn from(error: Unreadable) -> Self {
        Self::internal(error.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let error = Refusal { code: self.code, message: self.message };
        let after = self
            .after
            .map(HeaderValue::from)
            .or((self.status == StatusCode::SERVICE_UNAVAILABLE).then_some(HeaderValue::from_static("1")));
        let mut response = (self.status, Json(bt_documents::Refused { error })).into_response();
        if let Some(after) = after {
            response.headers_mut().insert(header::RETRY_AFTER, after);
        }
        response
    }
}

/// The part of an address after the question mark. A name that the call does not know is refused.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(rejection) => Err(Refused::invalid(StatusCode::BAD_REQUEST, rejection.body_text())),
        }
    }
}

/// What a call that changes something is given: a JSON object. That it must be sent as JSON keeps pages of other sites
/// from making such a call: a browser asks this server first, which allows it to nobody.
pub(super) struct Given<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Given<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(given)) => Ok(Self(given)),
            Err(JsonRejection::MissingJsonContentType(_)) => Err(Refused::media_type(
                "send a JSON object, with the header `Content-Type: application/json`; `{}` for none of its keys",
            )),
            Err(rejection) => Err(Refused::invalid(rejection.status(), rejection.body_text())),
        }
    }
}
