//! Files through a coordinator, which keeps what broke off for a while: a large one goes on where it was cut.

use std::fs::File;

use bt_measures::AGENT_SENT;
use bt_model::encoding::Encoding;
use bt_proto::convert::present;
use bt_proto::v1::agents_client::AgentsClient;
use bt_proto::v1::{self, upload_header, upload_request};
use bytes::{Buf, Bytes};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tracing::info;

use super::source::{Hashing, PieceReader, Summary};
use super::{Trouble, What};
use crate::job::holdings::Held;
use crate::line::Line;
use crate::line::link::Connection;
use crate::record::ending::StoredOutput;

/// Messages that may wait to be sent.
const MESSAGES: usize = 1;
/// Bytes of one message at most, as the coordinator takes them.
const MESSAGE: usize = 1 << 20;

impl From<Status> for Trouble {
    fn from(status: Status) -> Self {
        let told = status.message().to_owned();
        match status.code() {
            // The coordinator has the last word; it also says so by a Stop, which may be on its way.
            Code::FailedPrecondition => Self::TakenAway,
            Code::InvalidArgument => Self::Refused(told),
            _ => Self::Again(told),
        }
    }
}

/// What a coordinator says of a file before any of it is sent.
pub(super) struct UploadPlace {
    /// Bytes of it that are kept.
    pub(super) there: u64,
    /// Where in the store it belongs.
    pub(super) place: String,
}

/// Asks where a file belongs and how much of it is there. An attempt that was taken away hears so.
pub(super) async fn ask(
    line: &Line,
    held: &Held,
    what: &What,
    encoding: Encoding,
) -> Result<UploadPlace, Trouble> {
    let connection = line.link.connection().await;
    let header = v1::UploadHeader { ask: true, ..header(line, held, &connection, what, encoding) };
    let message = v1::UploadRequest { kind: Some(upload_request::Kind::Header(header)) };
    let mut client = AgentsClient::new(connection.channel);
    let reply = client.upload(tokio_stream::once(message)).await?.into_inner();
    Ok(UploadPlace { there: reply.size, place: reply.place.unwrap_or_default() })
}

/// One try.
pub(super) async fn send(
    line: &Line,
    held: &Held,
    what: &What,
    encoding: Encoding,
    file: File,
    again: bool,
) -> Result<StoredOutput, Trouble> {
    let there = if again { ask(line, held, what, encoding).await?.there } else { 0 };
    if there > 0 {
        info!(attempt.id = %held.id(), "{what} goes on after {there} bytes");
    }
    let connection = line.link.connection().await;
    let expected = present(file.metadata().ok().map(|file| file.len()));
    let header =
        v1::UploadHeader { offset: there, expected, ..header(line, held, &connection, what, encoding) };
    let (messages, receiver) = mpsc::channel(MESSAGES);
    let mut source = PieceReader::open(line, file, encoding, Hashing::Here);
    let feeding = async {
        feed(line, &mut source, header, &messages).await;
        drop(messages);
        source.end().await
    };
    let mut client = AgentsClient::new(connection.channel);
    let (stored, read) = tokio::join!(client.upload(ReceiverStream::new(receiver)), feeding);
    let (stored, read) = match (stored, read) {
        (Ok(stored), Ok(read)) => (stored.into_inner(), read),
        (Err(status), _) => return Err(status.into()),
        (Ok(_), Err(error)) => return Err(Trouble::Again(format!("read {what}: {error}"))),
    };
    let Summary { size, sha256, sent, sent_sha256 } = read;
    if stored.size != sent || stored.sha256 != sent_sha256 {
        return Err(Trouble::Again(format!("{what} arrived as something else than was sent")));
    }
    let stored_size = if encoding == Encoding::None { 0 } else { sent };
    let (path, stored_as) = (what.path().to_owned(), stored.stored_as.unwrap_or_default());
    Ok(StoredOutput { path, size, sha256, small: false, encoding, stored_size, stored_as, content: None })
}

/// Sends what is not there yet, until nobody listens any more.
async fn feed(
    line: &Line,
    source: &mut PieceReader,
    header: v1::UploadHeader,
    messages: &mpsc::Sender<v1::UploadRequest>,
) {
    let message = |kind| v1::UploadRequest { kind: Some(kind) };
    let mut there = header.offset;
    if messages.send(message(upload_request::Kind::Header(header))).await.is_err() {
        return;
    }
    while let Some(mut piece) = source.pieces.recv().await {
        let known = there.min(piece.len() as u64);
        there -= known;
        piece.advance(usize::try_from(known).unwrap_or(usize::MAX));
        while !piece.is_empty() {
            let data: Bytes = piece.split_to(piece.len().min(MESSAGE).min(line.pace.message()));
            line.pace.wait(data.len()).await;
            AGENT_SENT.add(["coordinator"], data.len() as u64);
            if messages.send(message(upload_request::Kind::Data(data))).await.is_err() {
                return;
            }
        }
    }
}

fn header(
    line: &Line,
    held: &Held,
    connection: &Connection,
    what: &What,
    encoding: Encoding,
) -> v1::UploadHeader {
    v1::UploadHeader {
        agent_id: line.site.identity.agent.to_string(),
        session: connection.session,
        attempt: held.id().to_string(),
        what: Some(match what {
            What::Output(path) => upload_header::What::Path(path.clone()),
            What::Log => upload_header::What::Log(true),
        }),
        encoding: v1::Encoding::from(encoding).into(),
        attempt_encoding: v1::Encoding::from(held.decided_encoding()).into(),
        ..v1::UploadHeader::default()
    }
}
