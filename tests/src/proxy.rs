//! A line to servers that can be cut: a cut one delivers nothing and says nothing, as when packets are dropped, until it
//! is whole again.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How often a cut line looks whether it is whole again.
const LOOK: Duration = Duration::from_millis(20);

/// More bytes than a test ever sends.
const WHOLE: u64 = u64::MAX;

/// A listening proxy. Each connection goes to the next of the targets that answers.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    left: Arc<AtomicU64>,
    passed: Arc<Passed>,
}

/// What goes by, where that is wanted.
type Passed = Mutex<Option<Vec<u8>>>;

impl Proxy {
    pub fn start(targets: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let address = listener.local_addr().expect("a bound socket has an address");
        let left = Arc::new(AtomicU64::new(WHOLE));
        let passed = Arc::new(Passed::default());
        let (rest, turn, tap) = (left.clone(), Arc::new(AtomicUsize::new(0)), passed.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (targets, rest, turn) = (targets.clone(), rest.clone(), turn.clone());
                let tap = tap.clone();
                thread::spawn(move || {
                    let first = turn.fetch_add(1, Ordering::Relaxed);
                    let order = (0..targets.len()).map(|n| targets[(first + n) % targets.len()]);
                    let server = order.into_iter().find_map(|target| TcpStream::connect(target).ok());
                    if let Some(server) = server {
                        join(&client, &server, &rest, &tap);
                    }
                });
            }
        });
        Self { address, left, passed }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn cut(&self) {
        self.let_through(0);
    }

    /// Cuts it as soon as about so many bytes have come through, of all connections and both ways.
    pub fn let_through(&self, bytes: u64) {
        self.left.store(bytes, Ordering::Relaxed);
    }

    /// True while it is cut.
    pub fn is_cut(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    /// Keeps what goes by from now on, both ways.
    pub fn keep_what_passes(&self) {
        *self.passed.lock().expect("nobody panics with it") = Some(Vec::new());
    }

    pub fn what_passed(&self) -> Vec<u8> {
        self.passed.lock().expect("nobody panics with it").clone().unwrap_or_default()
    }

    pub fn mend(&self) {
        self.let_through(WHOLE);
    }
}

fn join(client: &TcpStream, server: &TcpStream, left: &Arc<AtomicU64>, passed: &Passed) {
    thread::scope(|scope| {
        scope.spawn(|| carry(client, server, left, passed));
        carry(server, client, left, passed);
    });
}

fn carry(mut from: &TcpStream, mut to: &TcpStream, left: &AtomicU64, passed: &Passed) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read) = from.read(&mut buffer) {
        if let Some(kept) = passed.lock().expect("nobody panics with it").as_mut() {
            kept.extend_from_slice(&buffer[..read]);
        }
        while left.load(Ordering::Relaxed) == 0 {
            thread::park_timeout(LOOK);
        }
        left.update(Ordering::Relaxed, Ordering::Relaxed, |left| left.saturating_sub(read as u64));
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The other side must not wait for what never comes.
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}
