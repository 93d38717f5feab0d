//! From what bollard and the Engine say went wrong to the errors that callers decide by.
//!
//! The Engine tells most faults only in prose, so this is the one place that reads its sentences.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use bollard::errors::Error as Fault;
use bt_model::id::AttemptId;

use crate::Error;
use crate::docker::podman;

/// bollard's own limit, on the wait for the head of an answer. It must be longer than any of ours.
pub(super) const HEAD_DEADLINE: Duration = Duration::from_secs(60 * 60);
pub(super) const USUAL_HOST: &str = "unix:///var/run/docker.sock";

/// Runs one call under its deadline. With `attempt`, a 404 means that its container is gone.
pub(super) async fn within<T>(
    call: &'static str,
    after: Duration,
    attempt: Option<AttemptId>,
    answer: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Error> {
    match tokio::time::timeout(after, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(fault)) => Err(of(call, attempt, fault)),
        Err(_) => Err(Error::Timeout { call, after }),
    }
}

pub(super) fn of(call: &'static str, attempt: Option<AttemptId>, fault: Fault) -> Error {
    match fault {
        Fault::DockerResponseServerError { status_code, message } => {
            refused(call, attempt, status_code, message)
        }
        Fault::DockerStreamError { error } => told(call, None, error),
        Fault::RequestTimeoutError => Error::Timeout { call, after: HEAD_DEADLINE },
        Fault::HyperLegacyError { .. }
        | Fault::HyperResponseError { .. }
        | Fault::IOError { .. }
        | Fault::SocketNotFoundError(_) => Error::Unreachable {
            message: format!("the container engine can't be reached for `{call}`: {}", chain(&fault)),
        },
        other => Error::Engine { call, status: None, message: chain(&other) },
    }
}

fn refused(call: &'static str, attempt: Option<AttemptId>, status: u16, message: String) -> Error {
    let status = podman::status(status, &message);
    match attempt {
        Some(attempt) if status == 404 => Error::Gone { attempt },
        _ => told(call, Some(status), message),
    }
}

fn told(call: &'static str, status: Option<u16>, message: String) -> Error {
    let says = |words: &str| message.contains(words);
    if is_full(&message) {
        return Error::DiskFull { message };
    }
    // The Engine's own init is missing from the machine: no fault of the image.
    if says("docker-init") || says("container-init") {
        return Error::Engine { call, status, message };
    }
    if says("error mounting") && (says("not a directory") || says("file exists")) {
        return Error::Unmountable { message: unmountable(&message) };
    }
    // No volume, but a directory in memory that the manifest asks for.
    if says("error mounting \"tmpfs\"") {
        return Error::Engine { call, status, message };
    }
    if says("invalid mount config") || says("bind source path does not exist") || says("error mounting") {
        return Error::Volume { message: format!("a volume can't be mounted: {message}") };
    }
    let command_fails = [
        "executable file not found",
        "no such file or directory",
        "permission denied",
        "exec format error",
        "is a directory",
        "not a directory",
    ];
    if says("No command specified") || (says("exec") && command_fails.iter().any(|words| says(words))) {
        return Error::NoSuchCommand { message: format!("the command can't be started: {message}") };
    }
    Error::Engine { call, status, message }
}

/// Reads runc's `error mounting "/results" to rootfs at "/results": ... not a directory`.
fn unmountable(message: &str) -> String {
    let target = message.split_once("to rootfs at \"").and_then(|(_, rest)| rest.split_once('"'));
    match target {
        Some((target, _)) => format!(
            "what the image has at {target} and what is mounted there don't fit: one is a file, the other a directory"
        ),
        None => format!("what is mounted does not fit what the image has there: {message}"),
    }
}

/// True if the Engine says that its disk is full.
pub(super) fn is_full(message: &str) -> bool {
    let lower = message.to_lowercase();
    ["no space left on device", "disk quota exceeded"].iter().any(|words| lower.contains(words))
}

/// Why there is no Engine at `host`, and what the machine's owner can do about it.
pub(super) fn connecting(host: &str, fault: &Fault) -> Error {
    let at = host.strip_prefix("unix://").unwrap_or(host);
    let message = match (fault, io_kind(fault)) {
        (Fault::SocketNotFoundError(_), _) | (_, Some(io::ErrorKind::NotFound)) => format!(
            "no container engine at {at}: install Docker (Debian: `apt-get install docker.io`) and start it, or set \
             DOCKER_HOST to where it listens"
        ),
        (_, Some(io::ErrorKind::PermissionDenied)) => format!(
            "this user may not use the container engine at {at}: add it to the docker group (`sudo usermod -aG docker \
             \"$USER\"`) and log in again"
        ),
        (_, Some(io::ErrorKind::ConnectionRefused)) => format!(
            "nothing answers at {at}: start the container engine (`sudo systemctl start docker`), or set DOCKER_HOST to \
             where it listens"
        ),
        _ => format!("the container engine at {at} can't be used: {}", chain(fault)),
    };
    Error::Unreachable { message }
}

fn io_kind(fault: &Fault) -> Option<io::ErrorKind> {
    let mut cause = fault.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}

/// An error and its causes in one line, each told once.
fn chain(fault: &Fault) -> String {
    let mut text = fault.to_string();
    let mut cause = fault.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
