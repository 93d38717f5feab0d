//! Connections of a shell's user that are passed on to ports in its container. They end with the shell.

use std::collections::HashMap;

use bt_model::id::AttemptId;
use bt_proto::v1::{self, debug_pipe};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{ToUser, say};
use crate::gateway;
use crate::site::Site;

/// Connections at a time.
const MOST: usize = 64;
/// Pieces on their way to the container, of one connection. Who does not read them holds the others up.
const PIECES: usize = 256;
/// Bytes of a piece.
const PIECE: usize = 16 << 10;

pub(super) struct Pipes {
    site: std::sync::Arc<Site>,
    container: AttemptId,
    output: ToUser,
    /// What comes for those that are open.
    open: HashMap<u32, mpsc::Sender<Vec<u8>>>,
    tasks: JoinSet<()>,
}

impl Pipes {
    pub(super) fn new(site: std::sync::Arc<Site>, container: AttemptId, output: ToUser) -> Self {
        Self { site, container, output, open: HashMap::new(), tasks: JoinSet::new() }
    }

    /// Takes what the user's end sends.
    pub(super) async fn take(&mut self, pipe: v1::DebugPipe) {
        let id = pipe.id;
        match pipe.kind {
            Some(debug_pipe::Kind::Open(port)) => self.begin(id, port).await,
            Some(debug_pipe::Kind::Data(data)) => {
                let Some(to) = self.open.get(&id) else { return };
                if to.send(data).await.is_err() {
                    self.open.remove(&id);
                }
            }
            Some(debug_pipe::Kind::End(_)) => drop(self.open.remove(&id)),
            Some(debug_pipe::Kind::Failed(_)) | None => {}
        }
    }

    async fn begin(&mut self, id: u32, port: u32) {
        while self.tasks.try_join_next().is_some() {}
        let Ok(port) = u16::try_from(port) else {
            return tell(&self.output, id, failed(format!("{port} is no port"))).await;
        };
        if self.tasks.len() >= MOST {
            return tell(&self.output, id, failed(format!("{MOST} connections are open, the most"))).await;
        }
        let (to, from_user) = mpsc::channel(PIECES);
        self.open.insert(id, to);
        let (site, container, output) = (self.site.clone(), self.container, self.output.clone());
        self.tasks.spawn(async move {
            match gateway::connect(&site, container, port).await {
                Ok(stream) => pass_on(stream, from_user, id, &output).await,
                Err(error) => tell(&output, id, failed(format!("{error:#}"))).await,
            }
        });
    }
}

fn failed(why: String) -> debug_pipe::Kind {
    debug_pipe::Kind::Failed(why)
}

async fn tell(output: &ToUser, id: u32, kind: debug_pipe::Kind) {
    say(output, v1::debug_output::Kind::Pipe(v1::DebugPipe { id, kind: Some(kind) })).await;
}

/// Until both sides have ended, or one has broken.
async fn pass_on(stream: TcpStream, mut from_user: mpsc::Receiver<Vec<u8>>, id: u32, output: &ToUser) {
    let (mut reader, mut writer) = stream.into_split();
    let writing = async {
        while let Some(data) = from_user.recv().await {
            if writer.write_all(&data).await.is_err() {
                return;
            }
        }
        // The program sees the end, and may go on answering.
        drop(writer.shutdown().await);
    };
    let reading = async {
        let mut piece = vec![0; PIECE];
        while let Ok(read) = reader.read(&mut piece).await {
            if read == 0 {
                break;
            }
            tell(output, id, debug_pipe::Kind::Data(piece[..read].to_vec())).await;
        }
        tell(output, id, debug_pipe::Kind::End(true)).await;
    };
    tokio::join!(writing, reading);
}
