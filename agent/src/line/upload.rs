//! Files on their way to the store, written there by the agent itself or through a coordinator: hashed as they are read,
//! in bounded memory, and sent again until they have arrived or nobody wants them.

mod direct;
mod relay;
mod source;

use std::fmt;
use std::fs::File;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bt_model::encoding::Encoding;
use bt_model::reason::Reason;
use tokio::time::sleep;
use tracing::warn;

use crate::job::holdings::Held;
use crate::line::Line;
use crate::line::reach::UploadWay;
use crate::record::ending::StoredOutput;

/// The longest wait before the next try.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Which file of an attempt.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// An output, by its path in the results directory.
    Output(String),
    Log,
}

impl What {
    fn path(&self) -> &str {
        match self {
            Self::Output(path) => path,
            Self::Log => "log",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

/// Why a file did not arrive and never will.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The attempt is not this agent's any more.
    TakenAway,
    /// No retry helps.
    Refused(Reason),
}

/// Why one try did not do it.
#[derive(Debug)]
enum Trouble {
    TakenAway,
    Refused(String),
    /// Another try may help.
    Again(String),
    /// The store can't be reached from here.
    NoAccess(String),
}

/// Sends a file until it has arrived, or the attempt is taken away: then nobody wants its outputs, but still its log.
/// `open` opens it anew for each try. So many are sent at once as the agent's owner allows; the others wait.
pub(crate) async fn upload(
    line: &Line,
    held: &Held,
    what: What,
    open: impl Fn() -> Result<File, Reason>,
) -> Result<StoredOutput, Failure> {
    let mut waits = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(LONGEST_WAIT)
        .with_jitter()
        .without_max_times()
        .build();
    let _turn = tokio::select! {
        () = unwanted(held, &what) => return Err(Failure::TakenAway),
        turn = turn(line, &what) => turn,
    };
    // A coordinator may have kept what an earlier run of the agent sent.
    let mut again = held.taken_back;
    loop {
        let file = open().map_err(Failure::Refused)?;
        let sent = tokio::select! {
            () = unwanted(held, &what) => return Err(Failure::TakenAway),
            sent = send(line, held, &what, file, again) => sent,
        };
        let trouble = match sent {
            Ok(stored) => {
                held.note("");
                return Ok(stored);
            }
            Err(Trouble::TakenAway) => return Err(Failure::TakenAway),
            Err(Trouble::Refused(why)) => return Err(Failure::Refused(Reason::Outputs(why))),
            Err(Trouble::NoAccess(why)) => {
                line.reach.fall_back(&why);
                continue;
            }
            Err(Trouble::Again(why)) => why,
        };
        again = true;
        warn!(attempt.id = %held.id(), error = trouble, "an upload is tried again");
        held.note(format!("publishing: {trouble}; trying again"));
        let wait = waits.next().unwrap_or(LONGEST_WAIT);
        tokio::select! {
            () = unwanted(held, &what) => return Err(Failure::TakenAway),
            () = sleep(wait) => {}
        }
    }
}

/// How an attempt's outputs are to be stored, the same for all of them.
pub(crate) async fn encoding(line: &Line, held: &Held) -> Encoding {
    held.encoding(line.reach.encoding()).await
}

/// Removes what of an attempt's outputs is in the store and will never be whole.
pub(crate) async fn abandon(line: &Line, held: &Held) {
    if let Some(store) = line.reach.store() {
        direct::abandon(held, &store).await;
    }
}

/// Waits until the file is of no use to anybody.
async fn unwanted(held: &Held, what: &What) {
    match what {
        What::Output(_) => held.taken_away().await,
        What::Log => std::future::pending().await,
    }
}

/// Logs are small, and wait for nobody.
async fn turn<'a>(line: &'a Line, what: &What) -> Option<tokio::sync::SemaphorePermit<'a>> {
    match what {
        What::Output(_) => line.uploads.acquire().await.ok(),
        What::Log => None,
    }
}

/// One try.
async fn send(
    line: &Line,
    held: &Held,
    what: &What,
    file: File,
    again: bool,
) -> Result<StoredOutput, Trouble> {
    let path = match what {
        What::Output(path) => path,
        What::Log => return relay::send(line, held, what, Encoding::None, file, again).await,
    };
    let encoding = encoding(line, held).await;
    held.dir.note_encoding(encoding);
    let encoding = encoding.of(path).map_err(|error| Trouble::Refused(error.to_string()))?;
    match line.reach.way().await {
        UploadWay::Relay(_) => relay::send(line, held, what, encoding, file, again).await,
        UploadWay::Direct(store) => {
            let place = place(line, held, what, encoding).await?;
            direct::send(line, held, &store, &place, path, encoding, file).await
        }
    }
}

/// Where in the store a file belongs. A coordinator is asked for the first one of an attempt.
async fn place(line: &Line, held: &Held, what: &What, encoding: Encoding) -> Result<String, Trouble> {
    let stored_as = encoding.stored_as(what.path());
    if let Some(prefix) = held.prefix.get() {
        return Ok(format!("{prefix}{stored_as}"));
    }
    let place = relay::ask(line, held, what, encoding).await?.place;
    match place.strip_suffix(&stored_as) {
        Some(prefix) => {
            held.prefix.get_or_init(|| prefix.to_owned());
            Ok(place)
        }
        None => Err(Trouble::NoAccess("the coordinator does not say where files belong".to_owned())),
    }
}
