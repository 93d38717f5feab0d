//! The container engine behind a socket that can be broken: calls that hang, calls that fail, an engine that has gone.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How often a call that hangs looks whether it may go on.
const LOOK: Duration = Duration::from_millis(20);
const USUAL_HOST: &str = "unix:///var/run/docker.sock";

/// What is wrong with calls whose first line holds a text.
#[derive(Clone, Debug)]
enum Fault {
    Hangs(String),
    Fails(String, String),
}

#[derive(Debug, Default)]
struct State {
    faults: Vec<Fault>,
    /// All open connections, to be broken together.
    open: Vec<UnixStream>,
    gone: bool,
}

/// A socket in front of the real engine's.
#[derive(Debug)]
pub struct BrokenEngine {
    socket: PathBuf,
    state: Arc<Mutex<State>>,
}

impl BrokenEngine {
    pub fn start(dir: &Path) -> Self {
        let socket = dir.join("engine.sock");
        let listener = UnixListener::bind(&socket).expect("listen on a socket");
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = shared.clone();
                thread::spawn(move || join(client, &state));
            }
        });
        Self { socket, state }
    }

    /// What an agent's `DOCKER_HOST` is to be.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Calls such as `POST /containers/create` are never answered.
    pub fn hang(&self, call: &str) {
        lock(&self.state).faults.push(Fault::Hangs(call.to_owned()));
    }

    /// Such calls are answered with an error of the engine's.
    pub fn fail(&self, call: &str, message: &str) {
        lock(&self.state).faults.push(Fault::Fails(call.to_owned(), message.to_owned()));
    }

    /// Every connection breaks, and no new one gets through.
    pub fn vanish(&self) {
        let mut state = lock(&self.state);
        state.gone = true;
        for open in state.open.drain(..) {
            // It may have been closed already.
            drop(open.shutdown(Shutdown::Both));
        }
    }

    /// All is well again.
    pub fn mend(&self) {
        let mut state = lock(&self.state);
        state.gone = false;
        state.faults.clear();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn join(client: UnixStream, state: &Mutex<State>) {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| USUAL_HOST.to_owned());
    let real = host.strip_prefix("unix://").expect("these tests need an engine behind a socket");
    let server = UnixStream::connect(real).expect("connect to the container engine");
    {
        let mut state = lock(state);
        if state.gone {
            return;
        }
        state.open.extend([&client, &server].into_iter().filter_map(|stream| stream.try_clone().ok()));
    }
    thread::scope(|scope| {
        scope.spawn(|| carry(&client, &server, Some(state)));
        carry(&server, &client, None);
    });
}

/// Carries bytes; of the client's, a request begins with each piece.
fn carry(mut from: &UnixStream, mut to: &UnixStream, state: Option<&Mutex<State>>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read) = from.read(&mut buffer) {
        let piece = &buffer[..read];
        let line = piece.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line).into_owned();
        let fault = || {
            let state = lock(state?);
            state.faults.iter().find(|fault| matches!(fault, Fault::Hangs(call) | Fault::Fails(call, _) if line.contains(call.as_str()))).cloned()
        };
        match fault() {
            Some(Fault::Fails(_, message)) => {
                let body = serde_json::json!({ "message": message }).to_string();
                let answer = format!(
                    "HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                if from.write_all(answer.as_bytes()).is_err() {
                    break;
                }
                continue;
            }
            Some(Fault::Hangs(_)) => {
                while fault().is_some() {
                    thread::park_timeout(LOOK);
                }
            }
            None => {}
        }
        if read == 0 || to.write_all(piece).is_err() {
            break;
        }
    }
    // The other side must not wait for what never comes.
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}
