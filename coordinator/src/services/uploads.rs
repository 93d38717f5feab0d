//! Outputs and logs on their way from agents into the store.
//!
//! A call that breaks off leaves what it has brought: for a while it is kept, and the agent goes on where it ends. Another
//! coordinator knows nothing of it, and there the agent begins anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bt_model::encoding::Encoding;
use bt_model::id::{AgentId, AttemptId};
use bt_model::layout::AttemptPlace;
use bt_model::state::AttemptState;
use bt_proto::convert::{Malformed, parse};
use bt_proto::v1::{self, upload_header, upload_request};
use bt_store::Upload;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use tracing::debug;

use super::{Services, status};

/// Files that are received at once; each may take three parts of memory where the store is slower than its senders.
const AT_ONCE: usize = 64;
/// Of these, so many of one agent: no agent can keep the others out.
const AT_ONCE_OF_AGENT: usize = 16;
/// How long a sender may be silent before it has to begin another call, and to begin its first one.
const SILENCE: Duration = Duration::from_secs(20);
/// How long a file that broke off is kept, and how many of them.
const KEPT: Duration = Duration::from_secs(600);
const MOST_KEPT: usize = 256;
/// How long a call that nobody listens to any more may take to let go of its file.
const LET_GO: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

/// Files that are being received, and those that broke off, by their place in the store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Uploads {
    begun: Arc<Mutex<HashMap<String, Begun>>>,
    room: Arc<Semaphore>,
    /// The shares of the agents that send something.
    shares: Arc<Mutex<HashMap<AgentId, Weak<Semaphore>>>>,
}

enum Begun {
    /// A call is at it, and ends when it is told to.
    Received(CancellationToken),
    BrokenOff(Box<Upload>, Instant),
}

impl Default for Uploads {
    fn default() -> Self {
        Self { begun: Arc::default(), room: Arc::new(Semaphore::new(AT_ONCE)), shares: Arc::default() }
    }
}

impl Services {
    /// Writes one file under the attempt's own prefix. It counts only if the attempt is published later.
    pub(super) async fn receive_upload(
        &self,
        mut incoming: Streaming<v1::UploadRequest>,
    ) -> Result<v1::UploadReply, Status> {
        let first = timeout(SILENCE, incoming.message()).await.map_err(|_| silent())??;
        let first = first.and_then(|message| message.kind);
        let Some(upload_request::Kind::Header(header)) = first else {
            return Err(status::out_of_order("an UploadHeader"));
        };
        let path = self.upload_path(&header).await?.path;
        if header.ask {
            let size = self.uploads.let_go(&path).await?;
            return Ok(v1::UploadReply { size, place: path, ..v1::UploadReply::default() });
        }
        // A task of its own: a caller that is cut off takes only itself away.
        let services = self.clone();
        let receiving = self.tasks.spawn(async move { services.receive(&path, &header, incoming).await });
        receiving.await.map_err(|error| Status::internal(error.to_string()))?
    }

    async fn receive(
        &self,
        path: &str,
        header: &v1::UploadHeader,
        mut incoming: Streaming<v1::UploadRequest>,
    ) -> Result<v1::UploadReply, Status> {
        let closed = |_| Status::unavailable("the coordinator stops");
        // First of its own, so that who waits for that keeps nobody else waiting.
        let share = self.uploads.share(agent_of(header)?);
        let _share = share.acquire().await.map_err(closed)?;
        let _room = self.uploads.room.acquire().await.map_err(closed)?;
        self.uploads.let_go(path).await?;
        let kept = self.uploads.take(path, header.offset).await;
        let mut upload = match kept {
            Some(upload) => upload,
            None if header.offset > 0 => {
                return Err(Status::out_of_range(format!("{path} is not there up to {}", header.offset)));
            }
            None => {
                self.store.clear(path).await.map_err(status::store)?;
                let expected = Some(header.expected).filter(|bytes| *bytes > 0);
                self.store.upload(path, expected).await.map_err(status::store)?
            }
        };
        let superseded = self.uploads.receives(path);
        match copy(&mut upload, &mut incoming, &superseded).await {
            Ok(()) => {
                self.uploads.forget(path);
                self.store_upload(header, upload).await
            }
            Err(Broken::Line(status)) => {
                self.uploads.keep(path, upload).await;
                Err(status)
            }
            Err(Broken::Off(status)) => {
                self.uploads.forget(path);
                give_up(upload).await;
                Err(status)
            }
        }
    }

    /// Makes a file appear that has come whole, if it still may: its attempt may have ended since its first byte. Should
    /// the attempt end now, the file gets a name that nothing has, and so is no part of what was published.
    async fn store_upload(
        &self,
        header: &v1::UploadHeader,
        upload: Upload,
    ) -> Result<v1::UploadReply, Status> {
        let target = match self.upload_path(header).await {
            Ok(target) => target,
            Err(status) => {
                give_up(upload).await;
                return Err(status);
            }
        };
        let receipt = upload.finish().await.map_err(status::store)?;
        let mut stored_as = String::new();
        if receipt.path != target.path {
            match header.what {
                Some(upload_header::What::Log(_)) => {
                    self.keep_first_log(target.attempt, &target.path, &receipt).await;
                }
                _ => stored_as = target.place.name_of(&receipt.path).unwrap_or_default(),
            }
        }
        Ok(v1::UploadReply {
            size: receipt.size,
            sha256: receipt.sha256.into(),
            stored_as,
            ..v1::UploadReply::default()
        })
    }

    /// Where a file belongs. Outputs are taken while the attempt is live, and how they are stored is noted then. Its log is
    /// taken until it has said itself how it ended: before that it hands in the log.
    async fn upload_path(&self, header: &v1::UploadHeader) -> Result<Target, Status> {
        let agent = agent_of(header)?;
        let attempt: AttemptId = parse("attempt", "a UUID", &header.attempt).map_err(status::malformed)?;
        let place = self.queue.attempt_place(agent, header.session, attempt).await;
        let (place, state, known) = place.map_err(status::queue)?;
        let target = |path, place| Ok(Target { path, place, attempt });
        match &header.what {
            Some(upload_header::What::Log(_)) if takes_log(state) => target(place.log(), place),
            Some(upload_header::What::Log(_)) => {
                Err(Status::failed_precondition(format!("attempt {attempt} is {state}; it has its log")))
            }
            Some(upload_header::What::Path(path)) if state.is_live() => {
                let told = Encoding::from(header.attempt_encoding());
                if told != known {
                    self.queue.note_encoding(attempt, told).await.map_err(status::queue)?;
                }
                target(place.output(&Encoding::from(header.encoding()).stored_as(path)), place)
            }
            Some(upload_header::What::Path(_)) => Err(Status::failed_precondition(format!(
                "attempt {attempt} is {state}; its outputs are not wanted any more"
            ))),
            None => Err(status::malformed(Malformed::Missing("what"))),
        }
    }
}

/// Where a file belongs.
struct Target {
    /// From the store's root.
    path: String,
    place: AttemptPlace,
    attempt: AttemptId,
}

/// True while an attempt's log may come: one that has ended by its agent's word has handed it in.
pub(super) fn takes_log(state: AttemptState) -> bool {
    !matches!(state, AttemptState::Succeeded | AttemptState::Failed)
}

/// Why a file did not arrive whole.
enum Broken {
    /// Its sender is gone, and may come back.
    Line(Status),
    /// Going on would not help.
    Off(Status),
}

async fn copy(
    upload: &mut Upload,
    incoming: &mut Streaming<v1::UploadRequest>,
    superseded: &CancellationToken,
) -> Result<(), Broken> {
    loop {
        let message = tokio::select! {
            message = timeout(SILENCE, incoming.message()) => {
                message.map_err(|_| Broken::Line(silent()))?.map_err(Broken::Line)?
            }
            () = superseded.cancelled() => {
                return Err(Broken::Line(Status::aborted("its sender has come back by another call")));
            }
        };
        let Some(message) = message else { return Ok(()) };
        let Some(upload_request::Kind::Data(piece)) = message.kind else {
            return Err(Broken::Off(status::malformed(Malformed::Missing("data"))));
        };
        upload.write(piece).await.map_err(|error| Broken::Off(status::store(error)))?;
    }
}

fn agent_of(header: &v1::UploadHeader) -> Result<AgentId, Status> {
    parse("agent_id", "a UUID", &header.agent_id).map_err(status::malformed)
}

/// What is there of the file is kept; its sender may go on.
fn silent() -> Status {
    Status::deadline_exceeded(format!("nothing came for {} s", SILENCE.as_secs()))
}

async fn give_up(upload: Upload) {
    if let Err(error) = upload.abort().await {
        debug!(error = %error, "an unfinished upload is left behind");
    }
}

impl Uploads {
    /// An agent's share of the room, as long as it sends something.
    fn share(&self, agent: AgentId) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(&agent).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(AT_ONCE_OF_AGENT));
        shares.insert(agent, Arc::downgrade(&share));
        share
    }

    /// Bytes that are there of a file that broke off. A call that is still at it is ended first: its sender has come back.
    async fn let_go(&self, path: &str) -> Result<u64, Status> {
        let since = Instant::now();
        loop {
            match self.lock().get(path) {
                None => return Ok(0),
                Some(Begun::BrokenOff(upload, _)) => return Ok(upload.size()),
                Some(Begun::Received(superseded)) => superseded.cancel(),
            }
            if since.elapsed() > LET_GO {
                return Err(Status::unavailable("an earlier call is still at this file"));
            }
            sleep(LOOK).await;
        }
    }

    /// What is there of a file, if that is so much; what is not gone on with is given up.
    async fn take(&self, path: &str, size: u64) -> Option<Upload> {
        let begun = self.lock().remove(path);
        let Some(Begun::BrokenOff(upload, _)) = begun else { return None };
        if size > 0 && upload.size() == size {
            return Some(*upload);
        }
        give_up(*upload).await;
        None
    }

    /// A call has begun to receive a file; the token ends it.
    fn receives(&self, path: &str) -> CancellationToken {
        let superseded = CancellationToken::new();
        self.lock().insert(path.to_owned(), Begun::Received(superseded.clone()));
        superseded
    }

    fn forget(&self, path: &str) {
        self.lock().remove(path);
    }

    /// Keeps what broke off, for a while.
    async fn keep(&self, path: &str, upload: Upload) {
        let left = {
            let mut begun = self.lock();
            begun.remove(path);
            if upload.size() > 0 && begun.len() < MOST_KEPT {
                begun.insert(path.to_owned(), Begun::BrokenOff(Box::new(upload), Instant::now()));
                return;
            }
            upload
        };
        give_up(left).await;
    }

    /// Gives up what nobody came back for, until it is time to stop, and then all that is kept.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        while timeout(KEPT / 10, shutdown.cancelled()).await.is_err() {
            self.give_up_older_than(KEPT).await;
        }
        self.give_up_older_than(Duration::ZERO).await;
    }

    async fn give_up_older_than(&self, age: Duration) {
        let is_old = |_: &String, begun: &mut Begun| match begun {
            Begun::Received(_) => false,
            Begun::BrokenOff(_, since) => since.elapsed() >= age,
        };
        let old: Vec<_> = self.lock().extract_if(is_old).collect();
        for (_, begun) in old {
            if let Begun::BrokenOff(upload, _) = begun {
                give_up(*upload).await;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Begun>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
