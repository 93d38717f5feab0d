//! A container's network namespace: a thread of its own enters it, opens sockets there, and ends. A socket stays in the
//! namespace in which it was made, whoever uses it.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Duration;

use bt_engine::ContainerProcess;
use bt_model::manifest::{Host, HostPort};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::oneshot;

use super::netlink;

/// What was opened in a namespace.
pub(super) struct Entered {
    pub(super) listeners: Vec<(HostPort, TcpListener)>,
    /// The container's first process: with it everything ends.
    pub(super) process: OwnedFd,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(
        "process {0} of the container engine is not the container's here: the engine is on another machine, or the agent runs in a container itself (give that one --pid=host)"
    )]
    Stranger(i32),
    #[error("the container's network is the machine's own")]
    OwnNetwork,
    #[error("its network can't be entered: {0}")]
    Enter(io::Error),
    #[error("{0} can't be listened at in the container: {1}")]
    Listen(HostPort, io::Error),
    #[error("nothing answers at port {0} in the container: {1}")]
    Connect(u16, io::Error),
    #[error("{0}")]
    Thread(io::Error),
}

/// How long a program in the container may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Listens inside the container, where its job looks for these addresses. None: the container has finished.
pub(super) async fn listen(process: ContainerProcess, reach: &[HostPort]) -> Result<Option<Entered>, Error> {
    let places: Vec<_> = reach.iter().cloned().zip(HostPort::inside(reach)).collect();
    inside(process, move || {
        let listeners = places.into_iter().map(|(address, inside)| {
            let port = address.port;
            let listening = listen_at(&address.host, inside, port);
            match listening {
                Ok(listener) => Ok((address, listener)),
                Err(error) => Err(Error::Listen(address, error)),
            }
        });
        listeners.collect::<Result<_, _>>()
    })
    .await
    .map(|entered| entered.map(|(process, listeners)| Entered { listeners, process }))
}

/// Connects to a port of the container's own loopback. None: the container has finished.
pub(super) async fn connect(process: ContainerProcess, port: u16) -> Result<Option<TcpStream>, Error> {
    let connected = inside(process, move || {
        let place = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let connected = TcpStream::connect_timeout(&place, ANSWER).and_then(|stream| {
            stream.set_nonblocking(true)?;
            Ok(stream)
        });
        connected.map_err(|error| Error::Connect(port, error))
    });
    Ok(connected.await?.map(|(_, stream)| stream))
}

/// Does something in a container's namespace, and holds the container's first process meanwhile. None: it has finished.
async fn inside<T: Send + 'static>(
    process: ContainerProcess,
    action: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<Option<(OwnedFd, T)>, Error> {
    let (result, done) = oneshot::channel();
    // A thread that has been elsewhere is no good for anything else.
    let entering = move || {
        let entered = enter(&process).and_then(|held| held.map(|held| Ok((held, action()?))).transpose());
        drop(result.send(entered));
    };
    thread::Builder::new().name("gateway".to_owned()).spawn(entering).map_err(Error::Thread)?;
    done.await.unwrap_or_else(|_| Err(Error::Thread(io::Error::other("the thread has died"))))
}

/// Moves this thread into the namespace.
fn enter(process: &ContainerProcess) -> Result<Option<OwnedFd>, Error> {
    let pid = process.pid;
    let Some(held) = Pid::from_raw(pid) else { return Ok(None) };
    // From here on the number can be given to no other process unnoticed.
    let held = match pidfd_open(held, PidfdFlags::NONBLOCK) {
        Ok(held) => held,
        Err(rustix::io::Errno::SRCH) => return Ok(None),
        Err(error) => return Err(Error::Enter(error.into())),
    };
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"));
    let network = File::open(format!("/proc/{pid}/ns/net"));
    if has_ended(&held).map_err(Error::Enter)? {
        return Ok(None);
    }
    if process.id.is_empty() || !groups.map_err(Error::Enter)?.contains(&process.id) {
        return Err(Error::Stranger(pid));
    }
    let network = network.map_err(Error::Enter)?;
    if is_own(&network).map_err(Error::Enter)? {
        return Err(Error::OwnNetwork);
    }
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|error| Error::Enter(error.into()))?;
    Ok(Some(held))
}

fn listen_at(host: &Host, inside: Ipv4Addr, port: u16) -> io::Result<TcpListener> {
    if matches!(host, Host::Address(address) if !address.is_loopback()) {
        netlink::add_to_loopback(inside)?;
    }
    let listener = TcpListener::bind((inside, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// True if the process has finished.
fn has_ended(process: &OwnedFd) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut looked = [PollFd::new(process, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    Ok(poll(&mut looked, Some(&now))? > 0)
}

/// True if this is the network of the agent's own process.
fn is_own(network: &File) -> io::Result<bool> {
    let (there, own) = (network.metadata()?, fs::metadata("/proc/self/ns/net")?);
    Ok((there.dev(), there.ino()) == (own.dev(), own.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_containers_own_process_is_entered() {
        let reach = ["127.0.0.1:4001".parse().unwrap()];
        let own = i32::try_from(std::process::id()).unwrap();
        let told = listen(ContainerProcess { pid: own, id: "0123456789abcdef".to_owned() }, &reach).await;
        assert!(matches!(told, Err(Error::Stranger(pid)) if pid == own));
        // Even if its groups say that it is.
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap();
        let id = groups.lines().next().unwrap().to_owned();
        let told = listen(ContainerProcess { pid: own, id }, &reach).await;
        assert!(matches!(told, Err(Error::OwnNetwork)));
        let gone = listen(ContainerProcess { pid: i32::MAX, id: "x".to_owned() }, &reach).await;
        assert!(matches!(gone, Ok(None)));
    }
}
