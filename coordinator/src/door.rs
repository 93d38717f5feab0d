//! The door: every connection comes in here, and so many at most. A connection that says nothing, or that does not get as
//! far as a call, is closed soon; while the house is full the oldest of these makes room for a new one, so that agents and
//! users always get in.

mod arrival;
mod peer;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bt_trust::{ServerTls, ShownAgent};
use futures_util::{Stream, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tracing::warn;

use arrival::{Arrival, handshake};
use peer::Ends;

/// How long a new connection may take until its first call.
const FIRST_CALL: Duration = Duration::from_secs(10);
/// Descriptors that are not for connections: Postgres, files of the store, what the process itself needs.
const OWN_DESCRIPTORS: u64 = 256;
/// Connections at most, however many descriptors there are.
const MOST: usize = 16_384;
/// Connections that are always allowed, however few descriptors there are.
const LEAST: usize = 64;
/// The wait after the system could not give a connection.
const AGAIN: Duration = Duration::from_millis(50);

/// Where connections come in.
pub(crate) struct Door {
    listener: TcpListener,
    house: House,
    /// None: lines are not encrypted.
    tls: Option<ServerTls>,
}

/// Who is in. Cheap to clone.
#[derive(Clone)]
struct House {
    guests: Arc<Mutex<Guests>>,
    most: usize,
    /// Of one address.
    most_of_peer: usize,
    first_call: Duration,
}

#[derive(Default)]
struct Guests {
    next: u64,
    /// In the order in which they came.
    all: BTreeMap<u64, Guest>,
    /// Those that have made no call yet.
    silent: BTreeSet<u64>,
    by_peer: HashMap<IpAddr, usize>,
    turned_away: u64,
}

struct Guest {
    peer: IpAddr,
    leave: CancellationToken,
}

impl Door {
    /// Opens the door, with as many descriptors as the system lets this process have.
    pub(crate) fn new(listener: TcpListener, tls: Option<ServerTls>) -> Self {
        let descriptors = raise_descriptors().saturating_sub(OWN_DESCRIPTORS);
        let most = usize::try_from(descriptors).unwrap_or(MOST).clamp(LEAST, MOST);
        // Many agents may share an address, as behind a router: one address alone can't fill the house all the same.
        let most_of_peer = most - most / 4;
        let house = House { guests: Arc::default(), most, most_of_peer, first_call: FIRST_CALL };
        Self { listener, house, tls }
    }

    /// The connections as they come. Those that take their time over a handshake hold up nobody.
    pub(crate) fn incoming(self) -> impl Stream<Item = io::Result<Arrival>> {
        stream::unfold((self, JoinSet::new()), |(door, mut handshakes)| async move {
            loop {
                let accepted = tokio::select! {
                    Some(met) = handshakes.join_next(), if !handshakes.is_empty() => match met {
                        Ok(Some(arrival)) => return Some((Ok(arrival), (door, handshakes))),
                        Ok(None) | Err(_) => continue,
                    },
                    accepted = door.listener.accept() => accepted,
                };
                match accepted {
                    Ok((socket, from)) => {
                        let Some(visitor) = door.house.let_in(socket, from) else { continue };
                        match &door.tls {
                            Some(tls) => drop(handshakes.spawn(handshake(tls.acceptor(), visitor))),
                            None => return Some((Ok(Arrival::plain(visitor)), (door, handshakes))),
                        }
                    }
                    Err(error) => {
                        warn!(error = %error, "a connection can't be taken");
                        door.house.lock().make_room(|_| true);
                        sleep(AGAIN).await;
                    }
                }
            }
        })
    }
}

impl House {
    /// None where there is no room, and every other connection has made a call.
    fn let_in(&self, socket: TcpStream, from: SocketAddr) -> Option<Visitor> {
        let peer = from.ip();
        let ends = socket.local_addr().ok().map(|to| Ends { from, to });
        if let Err(error) = socket.set_nodelay(true) {
            // It has gone already.
            warn!(error = %error, "a connection was lost as it came");
            return None;
        }
        let mut guests = self.lock();
        let has_room = (guests.of(peer) < self.most_of_peer || guests.make_room(|guest| guest.peer == peer))
            && (guests.all.len() < self.most || guests.make_room(|_| true));
        if !has_room {
            guests.turned_away += 1;
            if guests.turned_away.is_power_of_two() {
                let (all, of_peer) = (guests.all.len(), guests.of(peer));
                warn!(peer = %peer, all, of_peer, "too many connections: new ones are turned away");
            }
            return None;
        }
        let id = guests.next;
        guests.next += 1;
        let leave = CancellationToken::new();
        guests.all.insert(id, Guest { peer, leave: leave.clone() });
        guests.silent.insert(id);
        *guests.by_peer.entry(peer).or_default() += 1;
        let pass = Pass {
            id,
            peer,
            is_encrypted: false,
            agent: None,
            is_of_own_user: Arc::default(),
            ends,
            house: self.clone(),
        };
        Some(Visitor {
            socket,
            pass,
            leave: Box::pin(leave.cancelled_owned()),
            first_call: Some(Box::pin(sleep(self.first_call))),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guests {
    fn of(&self, peer: IpAddr) -> usize {
        self.by_peer.get(&peer).copied().unwrap_or_default()
    }

    /// Sends away the oldest of these that has made no call. False if there is none.
    fn make_room(&mut self, of: impl Fn(&Guest) -> bool) -> bool {
        let oldest = self.silent.iter().find(|id| self.all.get(*id).is_some_and(&of)).copied();
        if let Some(guest) = oldest.and_then(|id| self.remove(id)) {
            guest.leave.cancel();
            return true;
        }
        false
    }

    fn remove(&mut self, id: u64) -> Option<Guest> {
        self.silent.remove(&id);
        let guest = self.all.remove(&id)?;
        if let Some(count) = self.by_peer.get_mut(&guest.peer) {
            *count -= 1;
            if *count == 0 {
                self.by_peer.remove(&guest.peer);
            }
        }
        Some(guest)
    }
}

/// A connection, as the calls on it know it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pass {
    id: u64,
    peer: IpAddr,
    is_encrypted: bool,
    /// Whose certificate was shown.
    agent: Option<ShownAgent>,
    ends: Option<Ends>,
    /// Found out when it is asked for.
    is_of_own_user: Arc<OnceCell<bool>>,
    house: House,
}

impl Pass {
    /// Where the connection comes from.
    pub(crate) fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Whether nobody on the way can read what is said.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// The agent that showed a certificate of the cluster's authority.
    pub(crate) fn agent(&self) -> Option<ShownAgent> {
        self.agent
    }

    /// Whether a process of the user that this one runs as is at the other end, on this machine.
    pub(crate) async fn is_of_own_user(&self) -> bool {
        let Some(ends) = self.ends else { return false };
        *self.is_of_own_user.get_or_init(|| ends.are_of_one_user()).await
    }

    /// Whether nobody on the way can read what is said: it is encrypted, or does not leave the machine.
    pub(crate) fn is_private(&self) -> bool {
        self.is_encrypted || self.peer.to_canonical().is_loopback()
    }

    /// Says that a call came: whoever makes calls stays.
    pub(crate) fn made_a_call(&self) {
        self.house.lock().silent.remove(&self.id);
    }

    fn has_made_a_call(&self) -> bool {
        !self.house.lock().silent.contains(&self.id)
    }
}

/// A connection that was let in.
pub(crate) struct Visitor {
    socket: TcpStream,
    pass: Pass,
    leave: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Until the first call has come.
    first_call: Option<Pin<Box<Sleep>>>,
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.pass.house.lock().remove(self.pass.id);
    }
}

impl AsyncRead for Visitor {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.leave.as_mut().poll(context).is_ready() {
            let why = "it made no call, and others need the room";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, why)));
        }
        if let Some(first_call) = &mut self.first_call
            && first_call.as_mut().poll(context).is_ready()
        {
            if !self.pass.has_made_a_call() {
                let why = format!("it made no call within {:?}", self.pass.house.first_call);
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
            }
            self.first_call = None;
        }
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Visitor {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// Lets this process have as many descriptors as the system allows it. Says how many that is.
fn raise_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(error) => {
            warn!(error = %error, "the limit on open files can't be raised");
            limit.current.unwrap_or(u64::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn pair(listener: &TcpListener) -> (TcpStream, TcpStream, SocketAddr) {
        let (ours, accepted) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (socket, from) = accepted.unwrap();
        (ours.unwrap(), socket, from)
    }

    #[tokio::test]
    async fn the_oldest_that_made_no_call_makes_room() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let house = House { guests: Arc::default(), most: 3, most_of_peer: 3, first_call: FIRST_CALL };
        let mut ends = Vec::new();
        let mut inside = Vec::new();
        for _ in 0..3 {
            let (ours, socket, peer) = pair(&listener).await;
            ends.push(ours);
            inside.push(house.let_in(socket, peer).unwrap());
        }
        inside[0].pass.made_a_call();
        let (_fourth, socket, peer) = pair(&listener).await;
        inside.push(house.let_in(socket, peer).unwrap());
        assert_eq!(house.lock().all.len(), 3);
        let gone = inside[1].read_u8().await.unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::ConnectionAborted);
        for visitor in &inside {
            visitor.pass.made_a_call();
        }
        inside.remove(1);
        let (_fifth, socket, peer) = pair(&listener).await;
        assert!(house.let_in(socket, peer).is_none(), "whoever makes calls stays");
        inside.pop();
        let (_sixth, socket, peer) = pair(&listener).await;
        assert!(house.let_in(socket, peer).is_some());
    }

    #[tokio::test]
    async fn whoever_says_nothing_is_sent_away() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let house = House { guests: Arc::default(), most: 3, most_of_peer: 3, first_call: AGAIN };
        let (_ours, socket, peer) = pair(&listener).await;
        let mut visitor = house.let_in(socket, peer).unwrap();
        let error = visitor.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(visitor);
        assert!(house.lock().all.is_empty() && house.lock().by_peer.is_empty());
    }
}
