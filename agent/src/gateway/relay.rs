//! Relays what a container says at an address that it may reach, and what comes back.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bt_model::id::AttemptId;
use bt_model::manifest::HostPort;
use rustix::net::sockopt::set_socket_linger;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::io::InspectReader;
use tracing::{Instrument, debug, info, warn};

use super::namespace::Entered;
use crate::job::holdings::Held;
use crate::site::Site;

/// Connections of one container to one address at once; further ones wait.
const CONNECTIONS: usize = 256;
/// How long the address may take to answer.
const CONNECT: Duration = Duration::from_secs(10);
/// How long nothing is accepted after that has failed: the machine is out of something.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// What went through one address.
#[derive(Default)]
struct Traffic {
    connections: AtomicU64,
    /// Of these, those that the address did not take.
    refused: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    /// The attempt whose log is written to, if the container belongs to one.
    held: Option<Arc<Held>>,
}

/// Relays until the container's first process ends. The gate is open for as long.
pub(super) fn begin(
    site: &Site,
    (container, held): (AttemptId, Option<Arc<Held>>),
    entered: Entered,
    gate: Option<File>,
) -> io::Result<()> {
    let Entered { listeners, process } = entered;
    #[expect(
        deprecated,
        reason = "it is unsound only for a descriptor that it does not own; its successor is unsafe"
    )]
    let process = AsyncFd::new(process)?;
    let mut listening = Vec::new();
    for (address, listener) in listeners {
        listening.push((address, TcpListener::from_std(listener)?));
    }
    let relaying = async move {
        let _gate = gate;
        relay(container, held, listening, process).await;
    };
    site.tasks.spawn(relaying.in_current_span());
    Ok(())
}

async fn relay(
    container: AttemptId,
    held: Option<Arc<Held>>,
    listening: Vec<(HostPort, TcpListener)>,
    process: AsyncFd<OwnedFd>,
) {
    let mut serving = JoinSet::new();
    let mut known = Vec::new();
    for (address, listener) in listening {
        info!(%container, %address, "the container can reach an address");
        let traffic = Arc::new(Traffic { held: held.clone(), ..Traffic::default() });
        known.push((address.clone(), traffic.clone()));
        serving.spawn(serve(container, address, listener, traffic).in_current_span());
    }
    if let Err(error) = process.readable().await {
        warn!(%container, %error, "the container's end can't be seen: it reaches nothing any more");
    }
    // With it go the connections that are still open.
    serving.shutdown().await;
    for (address, traffic) in known {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        info!(
            %container,
            %address,
            connections = count(&traffic.connections),
            refused = count(&traffic.refused),
            sent_bytes = count(&traffic.sent),
            received_bytes = count(&traffic.received),
            "the container reaches the address no more",
        );
    }
}

async fn serve(container: AttemptId, address: HostPort, listener: TcpListener, traffic: Arc<Traffic>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        // Never closed.
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let inner = match listener.accept().await {
            Ok((inner, _)) => inner,
            Err(error) => {
                warn!(%container, %address, %error, "a job's connection was not accepted");
                sleep(PAUSE).await;
                continue;
            }
        };
        add(&traffic.connections, 1);
        let (address, traffic) = (address.clone(), traffic.clone());
        let relaying = async move {
            let _place = place;
            if let Err(error) = connect(inner, &address, &traffic).await {
                debug!(%container, %address, %error, "a job's connection has broken");
            }
        };
        open.spawn(relaying.in_current_span());
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// One connection, to its end.
async fn connect(inner: TcpStream, address: &HostPort, traffic: &Traffic) -> io::Result<()> {
    let host = address.host.to_string();
    let connecting = timeout(CONNECT, TcpStream::connect((host.as_str(), address.port)));
    let outer = match connecting.await {
        Ok(Ok(outer)) => outer,
        failed => {
            let error = match failed {
                Ok(Err(error)) => error,
                _ => io::Error::from(io::ErrorKind::TimedOut),
            };
            let earlier = traffic.refused.fetch_add(1, Ordering::Relaxed);
            // Once is enough: a job may try again and again.
            if earlier == 0 {
                warn!(%address, %error, "a job may reach an address that does not answer");
                if let Some(held) = &traffic.held {
                    held.remark(format!("the agent could not reach {address} for the job: {error}"));
                }
            }
            // The job is to see a connection that was reset, and not one without an answer.
            set_socket_linger(&inner, Some(Duration::ZERO))?;
            return Err(error);
        }
    };
    inner.set_nodelay(true)?;
    outer.set_nodelay(true)?;
    let mut inner = InspectReader::new(inner, |piece: &[u8]| add(&traffic.sent, piece.len() as u64));
    let mut outer = InspectReader::new(outer, |piece: &[u8]| add(&traffic.received, piece.len() as u64));
    copy_bidirectional_with_sizes(&mut inner, &mut outer, PIECE, PIECE).await?;
    Ok(())
}
