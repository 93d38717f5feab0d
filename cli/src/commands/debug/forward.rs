//! Ports of this machine that lead into the container of a session.

use std::net::Ipv4Addr;
use std::str::FromStr;

use bt_proto::pipe::{Pipes, pass_on, tell};
use bt_proto::v1;
use bt_proto::v1::debug_pipe::Kind;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::error::Error;
use crate::output::say;

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
    pipes: Pipes,
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
        Self { accepted, typed, pipes: Pipes::default(), last: 0, tasks }
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
        let from_container = self.pipes.open(id);
        self.tasks.spawn(async move {
            tell(&typed, id, Kind::Open(port.into())).await;
            pass_on(stream, from_container, id, &typed).await;
        });
    }

    /// Takes what comes from the container.
    pub(super) async fn take(&mut self, pipe: v1::DebugPipe) {
        let Some(kind) = pipe.kind else { return };
        if let Kind::Failed(why) = &kind {
            say(&format!("a connection is closed: {why}\r"));
        }
        self.pipes.take(pipe.id, kind).await;
    }
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
