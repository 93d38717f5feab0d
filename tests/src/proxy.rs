//! A line between an agent and the coordinators that can be cut: a cut one delivers nothing and says nothing, as when
//! packets are dropped, until it is whole again.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// How often a cut line looks whether it is whole again.
const LOOK: Duration = Duration::from_millis(20);

/// A listening proxy. Each connection goes to the next of the targets that answers.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    cut: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) fn start(targets: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let address = listener.local_addr().expect("a bound socket has an address");
        let cut = Arc::new(AtomicBool::new(false));
        let (is_cut, turn) = (cut.clone(), Arc::new(AtomicUsize::new(0)));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (targets, is_cut, turn) = (targets.clone(), is_cut.clone(), turn.clone());
                thread::spawn(move || {
                    let first = turn.fetch_add(1, Ordering::Relaxed);
                    let order = (0..targets.len()).map(|n| targets[(first + n) % targets.len()]);
                    let server = order.into_iter().find_map(|target| TcpStream::connect(target).ok());
                    if let Some(server) = server {
                        join(&client, &server, &is_cut);
                    }
                });
            }
        });
        Self { address, cut }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    pub(crate) fn mend(&self) {
        self.cut.store(false, Ordering::Relaxed);
    }
}

fn join(client: &TcpStream, server: &TcpStream, cut: &Arc<AtomicBool>) {
    thread::scope(|scope| {
        scope.spawn(|| carry(client, server, cut));
        carry(server, client, cut);
    });
}

fn carry(mut from: &TcpStream, mut to: &TcpStream, cut: &AtomicBool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read) = from.read(&mut buffer) {
        while cut.load(Ordering::Relaxed) {
            thread::park_timeout(LOOK);
        }
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The other side must not wait for what never comes.
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}
