//! Calls of clients that wait for their agent: a log that it pushes, a shell that it joins, the files of a volume.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bt_proto::v1;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::followed::Placed;

/// Lines of a log on their way from an agent to a client.
const LOG_LINES: usize = 256;

/// What an agent pushes of a log. Without an end the line to the agent broke, or this coordinator stops.
#[derive(Clone, Debug)]
pub(super) enum Pushed {
    Line(Placed),
    End,
}

/// Both directions of a shell that waits for its agent.
#[derive(Debug)]
pub(super) struct Shell {
    /// What the user types.
    pub(super) input: mpsc::Receiver<v1::DebugInput>,
    /// What the shell prints.
    pub(super) output: mpsc::Sender<v1::DebugOutput>,
}

/// The files of a volume, or why the agent can't say.
pub(super) type FilesFound = Result<Vec<String>, String>;

/// All that wait here. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    logs: Arc<Mutex<HashMap<Uuid, mpsc::Sender<Pushed>>>>,
    shells: Arc<Mutex<HashMap<Uuid, Shell>>>,
    files: Arc<Mutex<HashMap<Uuid, oneshot::Sender<FilesFound>>>>,
}

impl Waiting {
    /// Opens a place where an agent can push a log to: its id, and the lines as they come.
    pub(super) fn expect_log(&self) -> (Uuid, mpsc::Receiver<Pushed>) {
        let request = Uuid::new_v4();
        let (sender, receiver) = mpsc::channel(LOG_LINES);
        let mut logs = lock(&self.logs);
        logs.retain(|_, sender| !sender.is_closed());
        logs.insert(request, sender);
        (request, receiver)
    }

    /// Where the log that was asked for goes; each place is given out once.
    pub(super) fn take_log(&self, request: Uuid) -> Option<mpsc::Sender<Pushed>> {
        lock(&self.logs).remove(&request)
    }

    /// Keeps a user's end of a shell until its agent takes it.
    pub(super) fn expect_shell(&self, shell: Shell) -> Uuid {
        let request = Uuid::new_v4();
        let mut shells = lock(&self.shells);
        shells.retain(|_, shell| !shell.output.is_closed());
        shells.insert(request, shell);
        request
    }

    /// The user's end of a shell; each is given out once.
    pub(super) fn take_shell(&self, request: Uuid) -> Option<Shell> {
        lock(&self.shells).remove(&request)
    }

    /// Opens a place for the files of a volume: its id, and what the agent answers.
    pub(super) fn expect_files(&self) -> (Uuid, oneshot::Receiver<FilesFound>) {
        let request = Uuid::new_v4();
        let (sender, receiver) = oneshot::channel();
        let mut files = lock(&self.files);
        files.retain(|_, sender| !sender.is_closed());
        files.insert(request, sender);
        (request, receiver)
    }

    /// Who waits for files; each is given out once.
    pub(super) fn take_files(&self, request: Uuid) -> Option<oneshot::Sender<FilesFound>> {
        lock(&self.files).remove(&request)
    }

    /// Ends all that wait.
    pub(super) fn close(&self) {
        lock(&self.files).clear();
        lock(&self.logs).clear();
        lock(&self.shells).clear();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change under the lock is a single step, so a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
