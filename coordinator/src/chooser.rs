//! Gives the tests of a walk-forward their parameters, when their windows' training has ended. Any number of coordinators
//! may run it: each test is held while it is given its parameters, which it gets once.

use std::time::Duration;

use bt_model::manifest::{Goal, Select};
use bt_model::parameters::{NotParameters, Parameters};
use bt_model::windows::{PHASE, Phase};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::bell::{Bell, Event, Sleeper};
use crate::loops::{Health, PutOff};
use crate::manifests::{self, Known, Manifests};
use crate::queue::{self, Choice, Place, Queue, Written};

/// How long a lost wake-up may go unnoticed.
const POLL: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error(transparent)]
    Manifest(#[from] manifests::Error),
    #[error("the parameters of its training job {0} can't be read: {1}")]
    Parameters(u32, #[source] NotParameters),
    #[error("its manifest does not say how to choose")]
    NoSelect,
    #[error("its training job {0} has no point that a test can have")]
    NoPoint(u32),
}

pub(crate) struct Chooser {
    pub(crate) queue: Queue,
    pub(crate) manifests: Manifests,
    pub(crate) bell: Bell,
}

impl Chooser {
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut health = Health::new("looking for windows whose training has ended");
        let mut put_off = PutOff::new("choosing the parameters of test");
        loop {
            // Armed before the pass, so that what happens during the pass is not missed.
            let woken = self.bell.rung(Sleeper::Choosing);
            health.note(self.choose_once(&mut put_off).await);
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = timeout(POLL, woken) => {}
            }
        }
    }

    /// One pass over the tests that are due. One that fails is put off by itself.
    pub(crate) async fn choose_once(&self, put_off: &mut PutOff<Place>) -> Result<(), Error> {
        let due = self.queue.due_tests().await?;
        put_off.keep(|test| due.contains(test));
        let mut chosen = 0;
        for test in due {
            if put_off.is_due(&test) && put_off.note(&test, self.choose(test).await) == Some(true) {
                chosen += 1;
            }
        }
        if chosen > 0 {
            info!(tests = chosen, "tests have the parameters of the best of their windows");
            self.bell.ring(Event::TestsReady);
        }
        Ok(())
    }

    /// True if the test has its parameters now.
    async fn choose(&self, test: Place) -> Result<bool, Error> {
        let known = self.manifests.get(test.sweep).await?;
        let select = known.manifest.select.as_ref().ok_or(Error::NoSelect)?;
        let Some(choice) = self.queue.begin_choice(test, select).await? else { return Ok(false) };
        let Some(best) = choice.best.clone() else {
            choice_failed(choice, select).await?;
            return Ok(false);
        };
        let parameters = test_of(&known, best.job, &best.parameters)?;
        choice.give(&best, &parameters).await?;
        Ok(true)
    }
}

async fn choice_failed(choice: Choice, select: &Select) -> Result<(), Error> {
    let jobs = choice.last - choice.first + 1;
    let which = match jobs {
        1 => format!("its training job {}", choice.first),
        _ => format!("none of its {jobs} training jobs ({} to {})", choice.first, choice.last),
    };
    let what = match select.goal {
        Goal::Maximize => "highest",
        Goal::Minimize => "lowest",
    };
    let not = if jobs == 1 { "has not succeeded and reported" } else { "has succeeded and reported" };
    let why = format!(
        "window {} has no parameters to test: {which} {not} a finite {}, of which the {what} is chosen",
        choice.window, select.metric
    );
    Ok(choice.fail(&why).await?)
}

/// The parameters of a training job, for its window's test.
fn test_of(known: &Known, job: u32, training: &Written) -> Result<Written, Error> {
    match training {
        Written::Point(point) => {
            let point = known.reader()?.test_of(*point).filter(|point| i64::try_from(*point).is_ok());
            point.map(Written::Point).ok_or(Error::NoPoint(job))
        }
        Written::Out(text) => {
            let parameters = Parameters::from_json(text).map_err(|error| Error::Parameters(job, error))?;
            let mut map = parameters.into_map();
            map.insert(PHASE.to_owned(), Phase::Test.name().into());
            let parameters = Parameters::new(map).map_err(|error| Error::Parameters(job, error))?;
            Ok(Written::Out(parameters.to_json()))
        }
    }
}
