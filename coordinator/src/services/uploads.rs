//! Outputs and logs on their way from agents into the store.
//!
//! A call that breaks off leaves what it has brought: for a while it is kept, and the agent goes on where it ends. Another
//! coordinator knows nothing of it, and there the agent begins anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bt_model::encoding::Encoding;
use bt_model::id::{AgentId, AttemptId};
use bt_model::layout::AttemptPlace;
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
}

enum Begun {
    /// A call is at it, and ends when it is told to.
    Received(CancellationToken),
    BrokenOff(Box<Upload>, Instant),
}

impl Default for Uploads {
    fn default() -> Self {
        Self { begun: Arc::default(), room: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Services {
    /// Writes one file under the attempt's own prefix. It counts only if the attempt is published later.
    pub(super) async fn receive_upload(
        &self,
        mut incoming: Streaming<v1::UploadRequest>,
    ) -> Result<v1::UploadReply, Status> {
        let first = incoming.message().await?.and_then(|message| message.kind);
        let Some(upload_request::Kind::Header(header)) = first else {
            return Err(status::out_of_order("an UploadHeader"));
        };
        let path = self.upload_path(&header).await?;
        if header.ask {
            let size = self.uploads.let_go(&path).await?;
            return Ok(v1::UploadReply { size, sha256: Vec::new(), place: path });
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
                let receipt = upload.finish().await.map_err(status::store)?;
                Ok(v1::UploadReply {
                    size: receipt.size,
                    sha256: receipt.sha256.into(),
                    ..Default::default()
                })
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

    /// Where a file belongs. Outputs are taken while the attempt is live, and how they are stored is noted then. Its log is
    /// wanted whatever became of it.
    async fn upload_path(&self, header: &v1::UploadHeader) -> Result<String, Status> {
        let agent: AgentId = parse("agent_id", "a UUID", &header.agent_id).map_err(status::malformed)?;
        let attempt: AttemptId = parse("attempt", "a UUID", &header.attempt).map_err(status::malformed)?;
        let place = self.queue.attempt_place(agent, header.session, attempt).await;
        let (place, state, known) = place.map_err(status::queue)?;
        match &header.what {
            Some(upload_header::What::Log(_)) => Ok(AttemptPlace::log(&place)),
            Some(upload_header::What::Path(path)) if state.is_live() => {
                let told = Encoding::from(header.attempt_encoding());
                if told != known {
                    self.queue.note_encoding(attempt, told).await.map_err(status::queue)?;
                }
                Ok(place.output(&Encoding::from(header.encoding()).stored_as(path)))
            }
            Some(upload_header::What::Path(_)) => Err(Status::failed_precondition(format!(
                "attempt {attempt} is {state}; its outputs are not wanted any more"
            ))),
            None => Err(status::malformed(Malformed::Missing("what"))),
        }
    }
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
            message = incoming.message() => message.map_err(Broken::Line)?,
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

async fn give_up(upload: Upload) {
    if let Err(error) = upload.abort().await {
        debug!(error = %error, "an unfinished upload is left behind");
    }
}

impl Uploads {
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
