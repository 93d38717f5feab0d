//! Answers that look at all jobs of a sweep, kept for those who ask again. Only a cache: each is made of what is in
//! Postgres, and made anew when it is old. What always holds: one that is asked for by many is made once, making takes a
//! small part of the time however often it is asked for, and all that are kept take no more memory than they may.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long one is given while jobs finish, besides as many times as long as it took to make.
const FRESH: Duration = Duration::from_secs(2);
const TIMES: u32 = 20;
/// How long one is given while no job finishes: metrics may be added to finished jobs by another coordinator.
const UNCHANGED: Duration = Duration::from_secs(60);

/// How a sweep stands, as far as answers depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Standing {
    succeeded: u32,
    finished: u32,
    left: u32,
}

impl Standing {
    /// Of a sweep with so many jobs in each state, in the order of `JobState::ALL`.
    pub(crate) fn of([queued, running, succeeded, failed, cancelled, pruned]: [u32; 6]) -> Self {
        Self { succeeded, finished: succeeded + failed + cancelled + pruned, left: queued + running }
    }
}

type Slot<V> = Arc<tokio::sync::Mutex<Option<Made<V>>>>;

#[derive(Debug)]
pub(crate) struct Answers<K, V> {
    most_bytes: usize,
    kept: Arc<Mutex<HashMap<K, Kept<V>>>>,
}

#[derive(Debug)]
struct Kept<V> {
    slot: Slot<V>,
    bytes: usize,
    asked: Instant,
}

#[derive(Debug)]
struct Made<V> {
    answer: Arc<V>,
    at: Instant,
    took: Duration,
    standing: Standing,
}

impl<K, V> Clone for Answers<K, V> {
    fn clone(&self) -> Self {
        Self { most_bytes: self.most_bytes, kept: self.kept.clone() }
    }
}

impl<K: Clone + Eq + Hash, V> Answers<K, V> {
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self { most_bytes, kept: Arc::default() }
    }

    /// The answer, as it was a short time ago at most; `making` makes it, and `bytes` says what it takes.
    pub(crate) async fn get<E>(
        &self,
        key: &K,
        standing: Standing,
        making: impl Future<Output = Result<V, E>>,
        bytes: impl FnOnce(&V) -> usize,
    ) -> Result<Arc<V>, E> {
        let slot = self.slot(key);
        let mut made = slot.lock().await;
        if let Some(made) = made.as_ref().filter(|made| made.is_fresh(standing)) {
            return Ok(made.answer.clone());
        }
        let began = Instant::now();
        let answer = match making.await {
            Ok(answer) => Arc::new(answer),
            Err(error) => {
                self.lock().remove(key);
                return Err(error);
            }
        };
        *made = Some(Made { answer: answer.clone(), at: Instant::now(), took: began.elapsed(), standing });
        drop(made);
        self.note(key, bytes(&answer));
        Ok(answer)
    }

    /// Lets those go that are not true any more.
    pub(crate) fn forget(&self, is_gone: impl Fn(&K) -> bool) {
        self.lock().retain(|key, _| !is_gone(key));
    }

    fn slot(&self, key: &K) -> Slot<V> {
        let mut kept = self.lock();
        let new = || Kept { slot: Slot::default(), bytes: 0, asked: Instant::now() };
        let kept = kept.entry(key.clone()).or_insert_with(new);
        kept.asked = Instant::now();
        kept.slot.clone()
    }

    /// Notes what one takes, and lets those go that were not asked for the longest.
    fn note(&self, key: &K, bytes: usize) {
        let mut all = self.lock();
        if let Some(kept) = all.get_mut(key) {
            kept.bytes = bytes;
        }
        while all.values().map(|kept| kept.bytes).sum::<usize>() > self.most_bytes {
            let others = all.iter().filter(|(other, kept)| *other != key && kept.bytes > 0);
            let Some(oldest) = others.min_by_key(|(_, kept)| kept.asked).map(|(key, _)| key.clone()) else {
                break;
            };
            all.remove(&oldest);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Kept<V>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Made<V> {
    fn is_fresh(&self, now: Standing) -> bool {
        let lasts = match self.standing == now {
            true => UNCHANGED,
            // Its last job has ended: whoever looks now looks at how it ended.
            false if now.left == 0 => return false,
            false => FRESH,
        };
        self.at.elapsed() < lasts + self.took * TIMES
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const RUNS: Standing = Standing { succeeded: 1, finished: 2, left: 8 };

    async fn ask(answers: &Answers<u32, u32>, key: u32, standing: Standing, value: u32) -> u32 {
        *answers.get(&key, standing, async { Ok::<_, Infallible>(value) }, |_| 40).await.unwrap()
    }

    #[tokio::test]
    async fn an_answer_is_given_again_until_the_sweep_has_ended_or_it_is_forgotten() {
        let answers = Answers::new(100);
        assert_eq!(ask(&answers, 1, RUNS, 10).await, 10);
        assert_eq!(ask(&answers, 1, RUNS, 11).await, 10);
        assert_eq!(
            ask(&answers, 1, Standing::of([7, 0, 2, 1, 0, 0]), 12).await,
            10,
            "a job more is not a new answer"
        );
        assert_eq!(ask(&answers, 1, Standing::of([0, 0, 9, 1, 0, 0]), 13).await, 13);
        assert_eq!(
            ask(&answers, 1, Standing::of([0, 0, 10, 0, 0, 0]), 14).await,
            14,
            "one that failed has succeeded"
        );
        answers.forget(|key| *key == 1);
        assert_eq!(ask(&answers, 1, Standing::of([0, 0, 10, 0, 0, 0]), 15).await, 15);
    }

    #[tokio::test]
    async fn the_one_that_was_not_asked_for_the_longest_makes_room_and_a_mistake_is_not_kept() {
        let answers = Answers::new(100);
        for key in [1, 2, 3] {
            assert_eq!(ask(&answers, key, RUNS, key).await, key);
        }
        assert_eq!(ask(&answers, 2, RUNS, 20).await, 2);
        assert_eq!(ask(&answers, 1, RUNS, 10).await, 10);
        let refused = answers.get(&4, RUNS, async { Err("no") }, |_| 40).await;
        assert_eq!(refused.unwrap_err(), "no");
        assert!(!answers.lock().contains_key(&4));
    }
}
