//! The guard: every call passes it, over gRPC and HTTP alike. It finds out who calls, refuses what the caller's role does not
//! have, ends open calls when the caller's token holds no more, and has changes and refusals written down.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use bt_model::role::Role;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use ipnet::IpNet;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Code, Status};
use tracing::{info, warn};

use crate::access::call::{Call, SignsIn, answering};
use crate::access::record::Record;
use crate::access::rights::{self, Right};
use crate::access::{Access, Identity, Known, Unknown};
use crate::door::Pass;
use crate::http::{self, Rights};
use crate::oidc::Oidc;
use crate::queue::Deed;

/// What every call passes.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    pub(crate) access: Access,
    pub(crate) record: Record,
    /// What each route of HTTP needs.
    pub(crate) rights: Arc<Rights>,
    pub(crate) proxy: Option<Arc<Proxy>>,
    /// Whom people sign in with, to be offered where a browser has to log in.
    pub(crate) oidc: Option<Oidc>,
}

/// A reverse proxy that is believed when it says whom it calls for.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) header: HeaderName,
    pub(crate) from: Vec<IpNet>,
    pub(crate) role: Role,
}

/// A call, as far as the guard looks at it.
struct Asked {
    is_grpc: bool,
    right: Right,
    /// The route has no such method.
    is_other_method: bool,
    /// It is written down when it is done.
    is_change: bool,
    /// As the audit log has it.
    what: String,
    from: Option<IpAddr>,
    /// Nobody on the way can read what is said.
    is_private: bool,
}

/// Why a call goes no further.
struct Refusal {
    status: Status,
    who: Option<Arc<Identity>>,
    /// Of whose token it is, where that is known although it does not hold.
    name: Option<String>,
}

impl Guard {
    /// Everything that is served, behind the guard.
    pub(crate) fn before(self, router: Router) -> Router {
        router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let guard = self.clone();
            async move { guard.answer(request, next).await }
        }))
    }

    async fn answer(&self, request: Request, next: Next) -> Response {
        let (parts, mut body) = request.into_parts();
        let asked = self.look_at(&parts);
        let (identity, known) = match self.who(&asked, &parts).await {
            Ok(who) => who,
            Err(refusal) => return self.refuse(&asked, &parts, refusal),
        };
        if asked.is_other_method {
            return http::other_method(parts.uri.path());
        }
        if let Some(known) = &known {
            body = Body::new(Held::new(body, known.clone(), End::Request));
        }
        let request = Request::from_parts(parts, body);
        let call = Call::new(identity, asked.from, asked.is_private);
        let mut unfinished = asked.is_change.then(|| Unfinished {
            record: self.record.clone(),
            call: call.clone(),
            what: asked.what.clone(),
            open: true,
        });
        let response = answering(call.clone(), next.run(request)).await;
        if let Some(unfinished) = &mut unfinished {
            unfinished.open = false;
        }
        if asked.is_change || call.note().signs_in.is_some() {
            let (code, why) = outcome(&response);
            self.note(&asked, &call, code, &why).await;
        }
        match known {
            None => response,
            Some(known) => {
                let end = if asked.is_grpc { End::Grpc } else { End::Http };
                response.map(|body| Body::new(Held::new(body, known, end)))
            }
        }
    }

    fn look_at(&self, parts: &Parts) -> Asked {
        let (method, path) = (&parts.method, parts.uri.path());
        let matched = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
        let pass = parts.extensions.get::<Pass>();
        let from = pass.map(Pass::peer);
        let is_private = pass.is_some_and(Pass::is_private);
        let is_grpc = is_grpc(&parts.headers);
        let route = matched.filter(|route| self.rights.knows(route));
        let is_change = !matches!(*method, Method::GET | Method::HEAD);
        let asked = |right: Right, what| {
            let is_change = is_change && right.is_to_change();
            Asked { is_grpc, right, is_other_method: false, is_change, what, from, is_private }
        };
        match route {
            Some(route) => match self.rights.of(method, route) {
                Some(right) => asked(right, format!("{method} {route}")),
                None => Asked { is_other_method: true, ..asked(Right::Known, format!("{method} {route}")) },
            },
            // Whatever its headers say: it is the address that decides what answers.
            None => {
                let known = bt_proto::Method::at(path);
                let what = known.map_or("a call that there is not", bt_proto::Method::short);
                let is_change = known.is_some_and(rights::is_change);
                Asked { is_change, ..asked(rights::of_path(path), what.to_owned()) }
            }
        }
    }

    /// Who calls, if the call may go on.
    async fn who(
        &self,
        asked: &Asked,
        parts: &Parts,
    ) -> Result<(Arc<Identity>, Option<Arc<Known>>), Refusal> {
        if !self.access.asks() || asked.right == Right::None {
            return Ok((Arc::new(Identity::anybody()), None));
        }
        let refused = |who, status| Refusal { status, who, name: None };
        let known = self.find(asked, parts).await?;
        let who = known.identity.clone();
        let is_by_cookie =
            http::cookie(&parts.headers).is_some() && !parts.headers.contains_key(header::AUTHORIZATION);
        if is_by_cookie && !matches!(parts.method, Method::GET | Method::HEAD) {
            http::is_sent_by_own_page(&parts.headers).map_err(|status| refused(Some(who.clone()), status))?;
        }
        if !who.may(asked.right) {
            let why = format!(
                "{} is {} here, and this call ({}) is for: {}",
                who.name,
                who.role,
                asked.what,
                asked.right.roles()
            );
            return Err(refused(Some(who), Status::permission_denied(why)));
        }
        Ok((who, Some(known)))
    }

    async fn find(&self, asked: &Asked, parts: &Parts) -> Result<Arc<Known>, Refusal> {
        let headers = &parts.headers;
        let agent = parts.extensions.get::<Pass>().and_then(Pass::agent);
        let found = match headers.get(header::AUTHORIZATION) {
            Some(value) => match bearer(value) {
                Some(token) => self.access.of_token(token).await,
                None => return Err(Refusal::unknown("the header `Authorization` is to be `Bearer TOKEN`")),
            },
            None if let Some((name, role)) = self.named_by_proxy(parts)? => self.access.of_proxy(name, role),
            None => match http::cookie(headers).filter(|_| !asked.is_grpc) {
                Some(cookie) => self.access.of_cookie(cookie).await,
                None if let Some(agent) = agent => self.access.of_certificate(agent).await,
                None if let Some(own) = self.own_user(parts).await? => return Ok(own),
                None => {
                    return Err(Refusal::unknown(
                        "this coordinator asks who calls: give a token, by BTCTL_TOKEN or --token-file; over HTTP by the \
                         header `Authorization: Bearer TOKEN`",
                    ));
                }
            },
        };
        found.map_err(|unknown| match unknown {
            Unknown::Refused { why, name } => Refusal { name, ..Refusal::unknown(why) },
            Unknown::NotNow(why) => Refusal { status: Status::unavailable(why), who: None, name: None },
        })
    }

    /// The coordinator's own user, where that needs no token and is who calls: not by a name of somebody's choice, nor for another
    /// site's page.
    async fn own_user(&self, parts: &Parts) -> Result<Option<Arc<Known>>, Refusal> {
        let (Some(own), Some(pass)) = (self.access.own_user(), parts.extensions.get::<Pass>()) else {
            return Ok(None);
        };
        if !http::is_called_locally(parts) || !pass.is_of_own_user().await {
            return Ok(None);
        }
        check_site(parts).map_err(|status| Refusal {
            status,
            who: Some(own.identity.clone()),
            name: None,
        })?;
        Ok(Some(own.clone()))
    }

    /// The user that the proxy calls for, and the role of its users.
    fn named_by_proxy<'p>(&self, parts: &'p Parts) -> Result<Option<(&'p str, Role)>, Refusal> {
        let (Some(proxy), Some(pass)) = (&self.proxy, parts.extensions.get::<Pass>()) else {
            return Ok(None);
        };
        let peer = pass.peer().to_canonical();
        let mut values = parts.headers.get_all(&proxy.header).iter();
        let (Some(value), true) = (values.next(), proxy.from.iter().any(|net| net.contains(&peer))) else {
            return Ok(None);
        };
        let name = value.to_str().ok().filter(|_| values.next().is_none()).ok_or_else(|| {
            Refusal::unknown(format!("the proxy's header `{}` is to name one user", proxy.header))
        })?;
        check_site(parts).map_err(|status| Refusal { status, who: None, name: Some(name.to_owned()) })?;
        Ok(Some((name.trim(), proxy.role)))
    }

    fn refuse(&self, asked: &Asked, parts: &Parts, refusal: Refusal) -> Response {
        let Refusal { status, who, name: whose } = refusal;
        let is_away = status.code() == Code::Unavailable;
        let name = who.as_ref().map(|who| who.name.clone()).or(whose).unwrap_or_else(|| "unknown".to_owned());
        let from = asked.from.map(|from| from.to_string()).unwrap_or_default();
        match is_away {
            true => warn!(from, "{}: {}", asked.what, status.message()),
            false => {
                info!(from, "refused: {name}: {}: {}", asked.what, status.message());
                let caller = who.clone().unwrap_or_else(|| Arc::new(Identity::anybody()));
                let call = Call::new(caller, asked.from, asked.is_private);
                let mut deed = deed(&call, &asked.what, format!("refused: {}", status.message()));
                deed.who = name;
                self.record.refused(deed);
            }
        }
        if asked.is_grpc {
            return status.into_http::<Body>();
        }
        let is_unknown = status.code() == Code::Unauthenticated;
        let mut response = http::refused(parts, status, self.oidc.as_ref());
        if is_unknown && response.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }

    /// Writes down what a call did, or that it was refused. What it could not do for want of something changed nothing.
    async fn note(&self, asked: &Asked, call: &Call, code: Code, why: &str) {
        match code {
            Code::Ok if call.note().is_dry => {}
            Code::Ok => self.record.done(deed(call, &asked.what, "done".to_owned())).await,
            Code::PermissionDenied | Code::Unauthenticated => {
                self.record.refused(deed(call, &asked.what, format!("refused: {why}")));
            }
            Code::ResourceExhausted if call.note().is_dry => {
                self.record.refused(deed(call, &asked.what, format!("refused: {why}")));
            }
            Code::NotFound
            | Code::InvalidArgument
            | Code::OutOfRange
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::Unimplemented => {}
            Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => self.record.perhaps(deed(call, &asked.what, format!("failed: {code:?}"))),
        }
    }
}

/// A browser calls for its user whatever page is open in it: a change that another site's page asks for is refused.
fn check_site(parts: &Parts) -> Result<(), Status> {
    let headers = &parts.headers;
    let is_by_browser = headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN);
    match is_by_browser && !matches!(parts.method, Method::GET | Method::HEAD) {
        true => http::is_sent_by_own_page(headers),
        false => Ok(()),
    }
}

impl Refusal {
    fn unknown(why: impl Into<String>) -> Self {
        Self { status: Status::unauthenticated(why), who: None, name: None }
    }
}

/// A call that changes something, until it is answered.
struct Unfinished {
    record: Record,
    call: Arc<Call>,
    what: String,
    open: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.open {
            let outcome = "not known: the caller left before the answer".to_owned();
            self.record.perhaps(deed(&self.call, &self.what, outcome));
        }
    }
}

fn deed(call: &Call, what: &str, outcome: String) -> Deed {
    let identity = &call.identity;
    let note = call.note();
    let (who, role) = match note.signs_in {
        Some(SignsIn { name, .. }) if name.is_empty() => ("unknown".to_owned(), None),
        Some(SignsIn { name, role }) => (name, role),
        None if identity.is_known => (identity.name.clone(), Some(identity.role)),
        None => ("anybody".to_owned(), None),
    };
    Deed {
        who,
        role,
        from: call.from.map(|from| from.to_string()).unwrap_or_default(),
        what: what.to_owned(),
        target: note.target,
        before: note.before,
        after: note.after,
        outcome,
    }
}

/// The token of the header `Authorization`.
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// How a call went, as far as the beginning of its answer says it.
fn outcome(response: &Response) -> (Code, String) {
    if let Some(status) = Status::from_header_map(response.headers()) {
        return (status.code(), status.message().to_owned());
    }
    let code = match response.status() {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
        status if status.is_client_error() => Code::InvalidArgument,
        status if status.is_server_error() => Code::Internal,
        _ => Code::Ok,
    };
    (code, format!("status {}", response.status().as_u16()))
}

/// What is sent or answered by a caller who is known: it ends when the caller's token holds no more.
struct Held {
    body: Body,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    end: End,
    has_ended: bool,
    known: Arc<Known>,
}

/// How it ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Request,
    Grpc,
    Http,
}

impl Held {
    fn new(body: Body, known: Arc<Known>, end: End) -> Self {
        let ended = Box::pin(known.ended.clone().cancelled_owned());
        Self { body, ended, end, has_ended: false, known }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        if self.ended.as_mut().poll(context).is_ready() {
            self.has_ended = true;
            let status = Status::unauthenticated(self.known.why_ended());
            if self.end == End::Grpc {
                let mut trailers = HeaderMap::new();
                if status.add_header(&mut trailers).is_ok() {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
            }
            return Poll::Ready(Some(Err(axum::Error::new(status))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
