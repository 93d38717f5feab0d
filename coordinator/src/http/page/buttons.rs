//! What the page's buttons do. Each works only from a page of this coordinator.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use bt_proto::v1;
use bt_proto::v1::sweeps_server::Sweeps as _;
use tonic::{Request, Status};

use super::own::is_sent_by_own_page;
use super::{Frame, shown};
use crate::clients::Clients;
use crate::http::reply::Refused;

pub(super) async fn cancel(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
    headers: HeaderMap,
) -> Response {
    done(&headers, &sweep, async {
        clients
            .cancel(Request::new(v1::CancelRequest { sweep: sweep.clone(), jobs: Vec::new() }))
            .await
            .map(drop)
    })
    .await
}

pub(super) async fn pause(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
    headers: HeaderMap,
) -> Response {
    done(&headers, &sweep, async {
        clients.pause(Request::new(v1::PauseRequest { sweep: sweep.clone() })).await.map(drop)
    })
    .await
}

pub(super) async fn resume(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
    headers: HeaderMap,
) -> Response {
    done(&headers, &sweep, async {
        clients.resume(Request::new(v1::ResumeRequest { sweep: sweep.clone() })).await.map(drop)
    })
    .await
}

pub(super) async fn retry(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
    headers: HeaderMap,
) -> Response {
    done(&headers, &sweep, async {
        let request = v1::RetryRequest { sweep: sweep.clone(), ..v1::RetryRequest::default() };
        clients.retry(Request::new(request)).await.map(drop)
    })
    .await
}

/// Takes an agent out of service, or puts it back.
pub(super) async fn drain(
    State(clients): State<Clients>,
    Path((agent, action)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    shown(Frame::new("../../", "agents"), async {
        is_sent_by_own_page(&headers)?;
        let undrain = match action.as_str() {
            "drain" => false,
            "undrain" => true,
            _ => return Err(Refused::no_such_path(&format!("/agents/{agent}/{action}"))),
        };
        clients.drain_agent(Request::new(v1::DrainAgentRequest { agent, undrain })).await?;
        Ok(Redirect::to("../../agents").into_response())
    })
    .await
}

/// Does what a form asks for, and shows the sweep again.
async fn done(headers: &HeaderMap, sweep: &str, doing: impl Future<Output = Result<(), Status>>) -> Response {
    shown(Frame::new("../../", "sweep"), async {
        is_sent_by_own_page(headers)?;
        doing.await.map_err(Refused::from)?;
        Ok(Redirect::to(&format!("../{sweep}")).into_response())
    })
    .await
}
