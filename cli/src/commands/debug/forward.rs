//! Ports of this machine that lead into the container of a session.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::str::FromStr;

use bt_proto::v1::{self, debug_input, debug_pipe};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::send;
use crate::error::Error;
use crate::output::say;

/// Pieces on their way to a program of this machine, of one connection. Who does not read them holds the others up.
const PIECES: usize = 256;
/// Bytes of a piece.
const PIECE: usize = 16 << 10;

/// A port of this machine, and the one in the container that it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forward {
    here: u16,
    there: u16,
}

impl FromStr for Forward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| {
            let port = text.parse().ok().filter(|port: &u16| *port > 0);
            port.ok_or_else(|| {
                format!("{text:?} is no port: write 8888, or 9999:8888 for port 9999 of this machine")
            })
        };
        let (here, there) = text.split_once(':').unwrap_or((text, text));
        Ok(Self { here: port(here)?, there: port(there)? })
    }
}

/// Listens on this machine's own loopback.
pub(crate) async fn listen(forwards: &[Forward]) -> Result<Vec<(TcpListener, u16)>, Error> {
    let mut listeners = Vec::new();
    for forward in forwards {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, forward.here)).await;
        let listener = listener.map_err(|error| {
            Error::Failed(format!(
                "port {} of this machine can't be listened at: {error}; --forward OTHER:{} takes another one",
                forward.here, forward.there
            ))
        })?;
        listeners.push((listener, forward.there));
    }
    Ok(listeners)
}

/// The connections of a session.
pub(super) struct Forwards {
    accepted: mpsc::Receiver<(TcpStream, u16)>,
    typed: mpsc::Sender<v1::DebugInput>,
    /// What comes for those that are open.
    open: HashMap<u32, mpsc::Sender<Vec<u8>>>,
    last: u32,
    tasks: JoinSet<()>,
}

impl Forwards {
    pub(super) fn new(listeners: Vec<(TcpListener, u16)>, typed: mpsc::Sender<v1::DebugInput>) -> Self {
        let (accepting, accepted) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        for (listener, port) in listeners {
            let accepting = accepting.clone();
            tasks.spawn(async move {
                // One that can't be accepted, for want of files, say, does not end the others.
                loop {
                    if let Ok((stream, _)) = listener.accept().await
                        && accepting.send((stream, port)).await.is_err()
                    {
                        return;
                    }
                }
            });
        }
        Self { accepted, typed, open: HashMap::new(), last: 0, tasks }
    }

    /// The next connection; never where no port is listened at.
    pub(super) async fn next(&mut self) -> (TcpStream, u16) {
        match self.accepted.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    pub(super) fn open(&mut self, stream: TcpStream, port: u16) {
        while self.tasks.try_join_next().is_some() {}
        self.last += 1;
        let (id, typed) = (self.last, self.typed.clone());
        let (to, mut from_container) = mpsc::channel::<Vec<u8>>(PIECES);
        self.open.insert(id, to);
        self.tasks.spawn(async move {
            let (mut reader, mut writer) = stream.into_split();
            let writing = async {
                while let Some(data) = from_container.recv().await {
                    if writer.write_all(&data).await.is_err() {
                        return;
                    }
                }
                drop(writer.shutdown().await);
            };
            let reading = async {
                tell(&typed, id, debug_pipe::Kind::Open(port.into())).await;
                let mut piece = vec![0; PIECE];
                while let Ok(read) = reader.read(&mut piece).await {
                    if read == 0 {
                        break;
                    }
                    tell(&typed, id, debug_pipe::Kind::Data(piece[..read].to_vec())).await;
                }
                tell(&typed, id, debug_pipe::Kind::End(true)).await;
            };
            tokio::join!(writing, reading);
        });
    }

    /// Takes what comes from the container.
    pub(super) async fn take(&mut self, pipe: v1::DebugPipe) {
        let id = pipe.id;
        match pipe.kind {
            Some(debug_pipe::Kind::Data(data)) => {
                let Some(to) = self.open.get(&id) else { return };
                if to.send(data).await.is_err() {
                    self.open.remove(&id);
                }
            }
            Some(debug_pipe::Kind::Failed(why)) => {
                say(&format!("a connection is closed: {why}\r"));
                self.open.remove(&id);
            }
            Some(debug_pipe::Kind::End(_)) => drop(self.open.remove(&id)),
            Some(debug_pipe::Kind::Open(_)) | None => {}
        }
    }
}

async fn tell(typed: &mpsc::Sender<v1::DebugInput>, id: u32, kind: debug_pipe::Kind) {
    send(typed, debug_input::Kind::Pipe(v1::DebugPipe { id, kind: Some(kind) })).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_leads_to_the_same_one_or_to_another() {
        assert_eq!("8888".parse(), Ok(Forward { here: 8888, there: 8888 }));
        assert_eq!("9999:80".parse(), Ok(Forward { here: 9999, there: 80 }));
        for wrong in ["", "0", "x", "1:2:3", "70000", "8888:", ":1"] {
            let told = wrong.parse::<Forward>().unwrap_err();
            assert!(told.contains("9999:8888"), "{wrong}: {told}");
        }
    }
}
