//! A line to an HTTP server that knows where requests begin and end, and breaks them as tests ask: some are answered in
//! the server's place, answered late, or cut off in mid-body.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this status, and the server never sees it.
    Answered(u16),
    /// It reaches the server so much later.
    Late(Duration),
    /// It is answered as S3 does where the bucket is gone; the server would make it anew.
    NoBucket,
    /// The connection is reset after so many bytes of its body.
    Reset(usize),
}

const NO_BUCKET: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>NoSuchBucket</Code>\
    <Message>The specified bucket does not exist</Message></Error>";

/// A listening proxy.
#[derive(Clone, Debug)]
pub struct FaultyHttp {
    address: SocketAddr,
    /// The only one that is there.
    bucket: &'static str,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// What is wrong with the next requests, and how many of them.
    fault: Option<(Fault, usize)>,
    faults: usize,
    /// First lines of the requests that the server answered.
    passed: Vec<String>,
}

impl FaultyHttp {
    pub(crate) fn start(server: SocketAddr, bucket: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let address = listener.local_addr().expect("a bound socket has an address");
        let proxy = Self { address, bucket, state: Arc::default() };
        let own = proxy.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let proxy = own.clone();
                // A client that goes away in the middle is its own business.
                thread::spawn(move || drop(proxy.serve(&client, server)));
            }
        });
        proxy
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// So many of the next requests go wrong.
    pub fn break_next(&self, requests: usize, fault: Fault) {
        self.lock().fault = Some((fault, requests));
    }

    pub fn mend(&self) {
        self.lock().fault = None;
    }

    /// Requests that went wrong so far.
    pub fn broken(&self) -> usize {
        self.lock().faults
    }

    /// Requests that the server has answered and whose first lines hold this.
    pub fn passed(&self, words: &str) -> usize {
        self.lock().passed.iter().filter(|line| line.contains(words)).count()
    }

    /// One request on each connection: a header says that it is the last one.
    fn serve(&self, client: &TcpStream, server: SocketAddr) -> io::Result<()> {
        let mut from = BufReader::new(client);
        let (mut head, mut length) = (Vec::new(), 0);
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line.trim().is_empty() {
                break;
            }
            if !lower.starts_with("connection:") {
                head.push(line);
            }
        }
        let first = head.first().cloned().unwrap_or_default();
        let is_there = first.split(['/', '?', ' ']).nth(2) == Some(self.bucket);
        let fault = if is_there { self.next_fault() } else { Some(Fault::NoBucket) };
        match fault {
            Some(Fault::Answered(status)) => {
                io::copy(&mut from.take(length), &mut io::sink())?;
                let answer =
                    format!("HTTP/1.1 {status} Broken\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                return (&mut &*client).write_all(answer.as_bytes());
            }
            Some(Fault::NoBucket) => {
                io::copy(&mut from.take(length), &mut io::sink())?;
                let body = if first.starts_with("HEAD") { "" } else { NO_BUCKET };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 404 Not Found\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                return (&mut &*client).write_all(answer.as_bytes());
            }
            Some(Fault::Late(time)) => wait(time),
            Some(Fault::Reset(bytes)) if length > 0 => {
                // What is unread when a socket is closed makes the system reset it.
                io::copy(&mut from.take(length.min(bytes as u64)), &mut io::sink())?;
                return client.shutdown(Shutdown::Both);
            }
            Some(Fault::Reset(_)) => return client.shutdown(Shutdown::Both),
            None => {}
        }
        let mut upstream = TcpStream::connect(server)?;
        upstream.write_all(head.concat().as_bytes())?;
        upstream.write_all(b"connection: close\r\n\r\n")?;
        io::copy(&mut from.take(length), &mut upstream)?;
        let answered = io::copy(&mut upstream, &mut &*client)?;
        if answered > 0 {
            self.lock().passed.push(first);
        }
        client.shutdown(Shutdown::Both)
    }

    fn next_fault(&self) -> Option<Fault> {
        let mut state = self.lock();
        let (fault, left) = state.fault?;
        state.fault = (left > 1).then_some((fault, left - 1));
        state.faults += 1;
        Some(fault)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wait(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}
