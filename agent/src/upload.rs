//! Files on their way to the store, through a coordinator: hashed as they are read, in bounded memory, and sent again
//! until they have arrived or nobody wants them.

use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bt_model::reason::Reason;
use bt_proto::v1::agents_client::AgentsClient;
use bt_proto::v1::{self, upload_header, upload_request};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tracing::warn;

use crate::agent::Agent;
use crate::ending::StoredOutput;
use crate::holdings::Held;

/// Bytes of one message.
const PIECE: usize = 1 << 20;
/// Pieces read ahead.
const PIECES: usize = 2;
/// The longest wait before the next try.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Which file of an attempt.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// An output, by its path in the results directory.
    Output(String),
    Log,
}

/// Why a file did not arrive and never will.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The attempt is not this agent's any more.
    TakenAway,
    /// No retry helps.
    Refused(Reason),
}

/// Sends a file until it has arrived, or the attempt is taken away: then nobody wants its outputs, but still its log.
/// `open` opens it anew for each try.
pub(crate) async fn upload(
    agent: &Agent,
    held: &Held,
    what: What,
    open: impl Fn() -> Result<File, Reason>,
) -> Result<StoredOutput, Failure> {
    let mut waits = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(LONGEST_WAIT)
        .with_jitter()
        .without_max_times()
        .build();
    loop {
        let file = open().map_err(Failure::Refused)?;
        let status = tokio::select! {
            () = unwanted(held, &what) => return Err(Failure::TakenAway),
            sent = send(agent, held, &what, file) => match sent {
                Ok(stored) => {
                    held.note("");
                    return Ok(stored);
                }
                Err(status) => status,
            },
        };
        match status.code() {
            // The coordinator has the last word; it also says so by a Stop, which may be on its way.
            Code::FailedPrecondition => return Err(Failure::TakenAway),
            Code::InvalidArgument => {
                return Err(Failure::Refused(Reason::Outputs(status.message().to_owned())));
            }
            _ => {}
        }
        warn!(attempt.id = %held.id(), error = status.message(), "an upload is tried again");
        held.note(format!("publishing: {}; trying again", status.message()));
        let wait = waits.next().unwrap_or(LONGEST_WAIT);
        tokio::select! {
            () = unwanted(held, &what) => return Err(Failure::TakenAway),
            () = sleep(wait) => {}
        }
    }
}

/// Waits until the file is of no use to anybody.
async fn unwanted(held: &Held, what: &What) {
    match what {
        What::Output(_) => held.taken_away().await,
        What::Log => std::future::pending().await,
    }
}

/// One try.
async fn send(agent: &Agent, held: &Held, what: &What, file: File) -> Result<StoredOutput, Status> {
    let connection = agent.link.connection().await;
    let (pieces, receiver) = mpsc::channel(PIECES);
    let (path, target) = match what {
        What::Output(path) => (path.clone(), upload_header::What::Path(path.clone())),
        What::Log => ("log".to_owned(), upload_header::What::Log(true)),
    };
    let header = upload_request::Kind::Header(v1::UploadHeader {
        agent_id: agent.identity.agent.to_string(),
        session: connection.session,
        attempt: held.id().to_string(),
        what: Some(target),
    });
    let reading = agent.tasks.spawn_blocking(move || read(file, header, &pieces));
    let mut client = AgentsClient::new(connection.channel);
    let stored = client.upload(ReceiverStream::new(receiver)).await?.into_inner();
    let read = reading.await.map_err(|error| Status::aborted(error.to_string()))?;
    let (size, sha256) = read.map_err(|error| Status::aborted(format!("read {path}: {error}")))?;
    if stored.size != size || stored.sha256 != sha256 {
        return Err(Status::aborted(format!("{path} arrived as something else than was sent")));
    }
    Ok(StoredOutput { path, size, sha256: sha256.to_vec(), small: false })
}

/// Reads a file into messages, and hashes it on the way.
fn read(
    mut file: File,
    header: upload_request::Kind,
    pieces: &mpsc::Sender<v1::UploadRequest>,
) -> io::Result<(u64, [u8; 32])> {
    let gone = || io::Error::other("the coordinator stopped listening");
    let message = |kind| v1::UploadRequest { kind: Some(kind) };
    pieces.blocking_send(message(header)).map_err(|_| gone())?;
    let mut hash = Sha256::new();
    let mut size = 0;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let read = file.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
        if read == 0 {
            return Ok((size, hash.finalize().into()));
        }
        size += read as u64;
        hash.update(&piece);
        let data = upload_request::Kind::Data(Bytes::from(piece));
        pieces.blocking_send(message(data)).map_err(|_| gone())?;
    }
}
