//! Clients that don't move: they begin a call, and neither go on nor hang up.

use std::net::SocketAddr;

use bt_proto::v1::sweeps_client::SweepsClient;
use bt_proto::v1::{self, submit_request};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Such clients; they hang up when this is dropped.
pub(super) struct Peers {
    runtime: Runtime,
}

impl Peers {
    pub(super) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self { runtime: runtime.expect("start threads") }
    }

    /// A submit that falls silent after its first rows. False if nothing answers at the address.
    pub(super) fn submit(&self, coordinator: SocketAddr, key: &str) -> bool {
        let header = v1::SubmitHeader {
            idempotency_key: format!("silent-{key}"),
            manifest: r#"{"name":"silent","image":"x","command":["x","{{ n }}"]}"#.to_owned(),
            owner: "silent".to_owned(),
            ..v1::SubmitHeader::default()
        };
        let rows = v1::ParameterRows { rows: vec![r#"{"n":1}"#.to_owned()] };
        self.runtime.block_on(async {
            let Ok(mut client) = SweepsClient::connect(format!("http://{coordinator}")).await else {
                return false;
            };
            let (sender, receiver) = mpsc::channel(2);
            for kind in [submit_request::Kind::Header(header), submit_request::Kind::Rows(rows)] {
                if sender.send(v1::SubmitRequest { kind: Some(kind) }).await.is_err() {
                    return false;
                }
            }
            self.runtime.spawn(async move {
                let answer = client.submit(ReceiverStream::new(receiver)).await;
                drop((sender, answer));
            });
            true
        })
    }

    /// A list of jobs that is asked for and not read. False if nothing answers at the address.
    pub(super) fn list(&self, coordinator: SocketAddr, sweep: &str) -> bool {
        let request = v1::ListJobsRequest { sweep: sweep.to_owned(), ..v1::ListJobsRequest::default() };
        self.runtime.block_on(async {
            let Ok(mut client) = SweepsClient::connect(format!("http://{coordinator}")).await else {
                return false;
            };
            self.runtime.spawn(async move {
                let answer = client.list_jobs(request).await;
                std::future::pending::<()>().await;
                drop(answer);
            });
            true
        })
    }
}
