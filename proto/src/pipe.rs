//! Connections that are passed on, piece by piece, within the messages of a session's stream: the same at both ends of it.

use std::collections::HashMap;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::v1::debug_pipe::Kind;
use crate::v1::{DebugInput, DebugOutput, DebugPipe, debug_input, debug_output};

/// Pieces of one connection on their way to whoever reads them here. Who does not read them holds the others up.
const PIECES: usize = 256;
/// Bytes of a piece.
const PIECE: usize = 16 << 10;

/// The connections that are open, by their numbers.
#[derive(Debug, Default)]
pub struct Pipes(HashMap<u32, mpsc::Sender<Vec<u8>>>);

impl Pipes {
    /// Opens one: what comes for it from the other end.
    pub fn open(&mut self, id: u32) -> mpsc::Receiver<Vec<u8>> {
        let (to, from_other_end) = mpsc::channel(PIECES);
        self.0.insert(id, to);
        from_other_end
    }

    /// Takes what the other end sent for one that is open.
    pub async fn take(&mut self, id: u32, kind: Kind) {
        match kind {
            Kind::Data(data) => {
                let Some(to) = self.0.get(&id) else { return };
                if to.send(data).await.is_err() {
                    self.0.remove(&id);
                }
            }
            Kind::End(_) | Kind::Failed(_) => drop(self.0.remove(&id)),
            Kind::Open(_) => {}
        }
    }
}

/// Tells the other end something of a connection. One that has gone hears nothing.
pub async fn tell<M: From<DebugPipe>>(to: &mpsc::Sender<M>, id: u32, kind: Kind) {
    to.send(DebugPipe { id, kind: Some(kind) }.into()).await.ok();
}

/// Passes a connection on until both sides have ended it, or it has broken.
pub async fn pass_on<M: From<DebugPipe>>(
    stream: TcpStream,
    mut from_other_end: mpsc::Receiver<Vec<u8>>,
    id: u32,
    to: &mpsc::Sender<M>,
) {
    let (mut reader, mut writer) = stream.into_split();
    let writing = async {
        while let Some(data) = from_other_end.recv().await {
            if writer.write_all(&data).await.is_err() {
                return;
            }
        }
        // Who reads it sees the end, and may go on answering.
        writer.shutdown().await.ok();
    };
    let reading = async {
        let mut piece = vec![0; PIECE];
        while let Ok(read) = reader.read(&mut piece).await {
            if read == 0 {
                break;
            }
            tell(to, id, Kind::Data(piece[..read].to_vec())).await;
        }
        tell(to, id, Kind::End(true)).await;
    };
    tokio::join!(writing, reading);
}

impl From<DebugPipe> for DebugInput {
    fn from(pipe: DebugPipe) -> Self {
        Self { kind: Some(debug_input::Kind::Pipe(pipe)) }
    }
}

impl From<DebugPipe> for DebugOutput {
    fn from(pipe: DebugPipe) -> Self {
        Self { kind: Some(debug_output::Kind::Pipe(pipe)) }
    }
}
