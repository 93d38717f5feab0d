//! Work that a client's text makes: looking for the jobs of a `where`, rendering, choosing among jobs.
//!
//! A calculation runs in slices of [`SLICE`], away from the threads that answer everybody, and waits for its turn between
//! them, so that all that are under way advance alike and a short one is soon done. It is a future: when its client has
//! gone, it is dropped between two slices. What always holds: at most half of the cpus calculate, [`MOST_OF_AN_OWNER`]
//! calculations of an owner take turns while the owner's others wait, and none takes longer than [`LONGEST`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// How long a calculation goes on before others have their turn.
const SLICE: Duration = Duration::from_millis(20);
/// What one calculation may take of a cpu.
const LONGEST: Duration = Duration::from_secs(300);
/// More of them wait, so that one owner does not take nearly all turns.
const MOST_OF_AN_OWNER: usize = 8;
/// Owners that are remembered although they calculate nothing.
const IDLE_OWNERS: usize = 1_000;

/// Why a calculation did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(
        "this takes longer than {} s of computing, the limit; narrow the axes, or write a simpler expression",
        LONGEST.as_secs()
    )]
    TooLong,
    #[error("the coordinator stops")]
    Stopping(#[from] AcquireError),
}

/// The turns of all calculations.
#[derive(Clone, Debug)]
pub(crate) struct Calculations {
    turns: Arc<Semaphore>,
    owners: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

impl Default for Calculations {
    fn default() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self { turns: Arc::new(Semaphore::new((cpus / 2).max(1))), owners: Arc::default() }
    }
}

impl Calculations {
    /// Begins a calculation, as soon as the owner has less than the most under way.
    pub(crate) async fn begin(&self, owner: &str) -> Result<Calculation, Refused> {
        let places = {
            let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
            if owners.len() >= IDLE_OWNERS {
                owners.retain(|_, places| Arc::strong_count(places) > 1);
            }
            let places = owners.entry(owner.to_owned());
            places.or_insert_with(|| Arc::new(Semaphore::new(MOST_OF_AN_OWNER))).clone()
        };
        let place = places.acquire_owned().await?;
        Ok(Calculation { turns: self.turns.clone(), _place: place, taken: Duration::ZERO })
    }
}

/// A calculation under way.
#[derive(Debug)]
pub(crate) struct Calculation {
    turns: Arc<Semaphore>,
    _place: OwnedSemaphorePermit,
    taken: Duration,
}

impl Calculation {
    /// Repeats a step, which takes a few milliseconds at most, until it gives something.
    pub(crate) async fn run<T>(&mut self, mut step: impl FnMut() -> Option<T>) -> Result<T, Refused> {
        loop {
            // Those that wait are served in the order in which they came.
            let turn = self.turns.acquire().await?;
            let begun = Instant::now();
            let made = tokio::task::block_in_place(|| {
                loop {
                    let made = step();
                    if made.is_some() || begun.elapsed() >= SLICE {
                        return made;
                    }
                }
            });
            drop(turn);
            self.taken += begun.elapsed();
            if let Some(made) = made {
                return Ok(made);
            }
            if self.taken >= LONGEST {
                return Err(Refused::TooLong);
            }
            // Here a calculation whose client has gone ends.
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(time: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_short_calculation_does_not_wait_for_the_end_of_a_long_one() {
        let all = Calculations::default();
        let (begun, mut has_begun) = tokio::sync::mpsc::channel(10);
        let mut endless = tokio::task::JoinSet::new();
        for _ in 0..MOST_OF_AN_OWNER + 1 {
            let (all, begun) = (all.clone(), begun.clone());
            endless.spawn(async move {
                let mut calculation = all.begin("long").await.unwrap();
                begun.send(()).await.unwrap();
                let step = || {
                    busy(Duration::from_millis(2));
                    None::<()>
                };
                calculation.run(step).await
            });
        }
        for _ in 0..MOST_OF_AN_OWNER {
            has_begun.recv().await.unwrap();
        }
        let places = all.owners.lock().unwrap()["long"].clone();
        assert_eq!(places.available_permits(), 0);
        assert_eq!(all.begin("short").await.unwrap().run(|| Some(5)).await.unwrap(), 5);
        // What nobody waits for any more stops, and gives its place back.
        endless.abort_all();
        while let Some(ended) = endless.join_next().await {
            assert!(ended.is_err_and(|error| error.is_cancelled()));
        }
        assert_eq!(places.available_permits(), MOST_OF_AN_OWNER);
    }
}
