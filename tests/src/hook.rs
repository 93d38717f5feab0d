//! A small web server and a small mail server that note what they are sent, and answer as tests ask.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

/// A request that came.
#[derive(Clone, Debug)]
pub struct Posted {
    /// `POST /path HTTP/1.1`
    pub line: String,
    /// By their names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

/// A web server that notes each request. It answers 200 unless it was told otherwise.
#[derive(Clone, Debug)]
pub struct Hook {
    address: SocketAddr,
    state: Arc<(Mutex<HookState>, Condvar)>,
}

#[derive(Debug, Default)]
struct HookState {
    posted: Vec<Posted>,
    /// Heads of the next answers, without the line's `HTTP/1.1`.
    answers: VecDeque<String>,
    is_held: bool,
}

impl Hook {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let address = listener.local_addr().expect("a bound socket has an address");
        let hook = Self { address, state: Arc::default() };
        let own = hook.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let hook = own.clone();
                // A client that goes away in the middle is its own business.
                thread::spawn(move || drop(hook.serve(&client)));
            }
        });
        hook
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What the next answers are, such as `503 Service Unavailable\r\nRetry-After: 1`.
    pub fn answer(&self, heads: &[&str]) {
        self.lock().answers.extend(heads.iter().map(|head| (*head).to_owned()));
    }

    /// Requests are noted, and not answered until this is taken back.
    pub fn hold(&self, is_held: bool) {
        self.lock().is_held = is_held;
        self.state.1.notify_all();
    }

    /// All requests so far.
    pub fn posted(&self) -> Vec<Posted> {
        self.lock().posted.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HookState> {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(client);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut headers = BTreeMap::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let mut state = self.lock();
        state.posted.push(Posted { line: line.trim_end().to_owned(), headers, body });
        let head = state.answers.pop_front().unwrap_or_else(|| "200 OK".to_owned());
        while state.is_held {
            state = self.state.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        let mut writer = client;
        write!(writer, "HTTP/1.1 {head}\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n")
    }
}

/// A mail that came: who it is from and to, as the server was told, and the whole text.
#[derive(Clone, Debug)]
pub struct Mail {
    pub envelope: Vec<String>,
    pub text: String,
}

/// A mail server that takes every mail, but the first so many.
#[derive(Clone, Debug)]
pub struct MailServer {
    address: SocketAddr,
    /// How many it still refuses for now, and what it has taken.
    state: Arc<Mutex<(usize, Vec<Mail>)>>,
}

impl MailServer {
    pub fn start(refused: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let address = listener.local_addr().expect("a bound socket has an address");
        let server = Self { address, state: Arc::new(Mutex::new((refused, Vec::new()))) };
        let own = server.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = own.clone();
                thread::spawn(move || drop(server.serve(&client)));
            }
        });
        server
    }

    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    pub fn mails(&self) -> Vec<Mail> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(client);
        let mut writer = client;
        writer.write_all(b"220 mail.example ESMTP\r\n")?;
        let mut envelope = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            let word = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let answer = match word.as_str() {
                "EHLO" => "250-mail.example\r\n250 8BITMIME",
                "MAIL" | "RCPT" => {
                    envelope.push(line.to_owned());
                    "250 ok"
                }
                "DATA" => {
                    writer.write_all(b"354 go on\r\n")?;
                    let mut text = String::new();
                    while !text.ends_with("\r\n.\r\n") {
                        if reader.read_line(&mut text)? == 0 {
                            return Ok(());
                        }
                    }
                    let envelope = std::mem::take(&mut envelope);
                    let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                    match state.0 {
                        0 => {
                            state.1.push(Mail { envelope, text });
                            "250 taken"
                        }
                        refused => {
                            state.0 = refused - 1;
                            "451 try again later"
                        }
                    }
                }
                "QUIT" => {
                    return writer.write_all(b"221 bye\r\n");
                }
                _ => "250 ok",
            };
            writer.write_all(format!("{answer}\r\n").as_bytes())?;
        }
    }
}
