//! Who is at the other end of a connection on this machine: the kernel's table of sockets says which user a socket is of.

use std::net::{IpAddr, SocketAddr};

use procfs::net::{TcpNetEntry, TcpState, tcp, tcp6};
use tokio::task::spawn_blocking;

/// A connection, as this end sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
}

impl Ends {
    /// Whether a process of this process's user holds the other end. False where that can't be found out.
    pub(super) async fn are_of_one_user(self) -> bool {
        let own = rustix::process::geteuid().as_raw();
        let is_local =
            self.from.ip().to_canonical().is_loopback() && self.to.ip().to_canonical().is_loopback();
        if !is_local {
            return false;
        }
        let looking = spawn_blocking(move || {
            let tables = [tcp(), tcp6()].into_iter().filter_map(Result::ok);
            self.holder(tables.flatten())
        });
        looking.await.is_ok_and(|holder| holder == Some(own))
    }

    /// The user that holds the other end. A socket that its process has closed has no inode, and seems to be root's: it is
    /// nobody's.
    fn holder(self, table: impl IntoIterator<Item = TcpNetEntry>) -> Option<u32> {
        let same = |one: SocketAddr, other: SocketAddr| {
            let canonical =
                |address: SocketAddr| -> (IpAddr, u16) { (address.ip().to_canonical(), address.port()) };
            canonical(one) == canonical(other)
        };
        let mut others = table
            .into_iter()
            .filter(|entry| same(entry.local_address, self.from) && same(entry.remote_address, self.to));
        let held = |entry: &TcpNetEntry| entry.inode != 0 && entry.state == TcpState::Established;
        others.find(held).map(|entry| entry.uid)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn ends(listener: &TcpListener) -> (TcpStream, Ends) {
        let (socket, from) = listener.accept().await.unwrap();
        let ends = Ends { from, to: socket.local_addr().unwrap() };
        (socket, ends)
    }

    #[tokio::test]
    async fn an_own_process_is_known_on_both_protocols() {
        for (at, to) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "127.0.0.1")] {
            let listener = TcpListener::bind(at).await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let ours = TcpStream::connect((to, port)).await.unwrap();
            let (socket, ends) = ends(&listener).await;
            assert!(ends.are_of_one_user().await, "{at}");
            // Whoever has hung up is nobody, least of all root.
            drop(ours);
            socket.readable().await.unwrap();
            assert!(!ends.are_of_one_user().await, "{at}");
        }
    }

    #[tokio::test]
    async fn another_user_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; read -r line <&3");
        let sudo: &[&str] = if rustix::process::geteuid().is_root() { &[] } else { &["sudo", "-n"] };
        let words = [sudo, &["setpriv", "--reuid=65534", "--clear-groups", "bash", "-c", &script]].concat();
        let mut other = Command::new(words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .spawn()
            .expect("setpriv is installed, and sudo where this is not root");
        let (socket, ends) = ends(&listener).await;
        assert!(!ends.are_of_one_user().await);
        let found = ends.holder([tcp(), tcp6()].into_iter().filter_map(Result::ok).flatten());
        assert_eq!(found, Some(65534));
        // Its script ends with the line.
        drop(socket);
        other.wait().unwrap();
    }

    #[tokio::test]
    async fn what_comes_from_elsewhere_is_nobody() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        for from in ["10.0.0.5:40000", "[2001:db8::1]:40000"] {
            let ends = Ends { from: at(from), to: at("127.0.0.1:7600") };
            assert!(!ends.are_of_one_user().await, "{from}");
        }
    }
}
