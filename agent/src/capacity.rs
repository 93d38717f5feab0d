//! The agent's capacity: attempts wait here, first come first served, until what they need is free. The agent never
//! runs more than its capacity, whatever a coordinator sends.

use std::collections::BTreeSet;
use std::sync::Arc;

use bt_model::resources::Resources;
use tokio::sync::Mutex;
use tokio::sync::watch;

/// What is free. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Capacity {
    free: Arc<watch::Sender<Free>>,
    /// Held by the attempt that is first in line; tokio's mutex is fair.
    line: Arc<Mutex<()>>,
}

#[derive(Clone, Debug)]
struct Free {
    resources: Resources,
    /// The engine's numbers of the gpus that nobody has.
    gpus: BTreeSet<u32>,
}

/// What an attempt has taken; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    free: Arc<watch::Sender<Free>>,
    taken: Resources,
    gpus: Vec<u32>,
}

impl Share {
    /// The gpus that are the attempt's own.
    pub(crate) fn gpus(&self) -> &[u32] {
        &self.gpus
    }
}

impl Capacity {
    pub(crate) fn new(all: Resources) -> Self {
        let free = Free { resources: all, gpus: (0..all.gpus).collect() };
        Self { free: Arc::new(watch::Sender::new(free)), line: Arc::default() }
    }

    /// Waits until `need` is free, and takes it; of the gpus those that the attempt had in an earlier run of the agent.
    pub(crate) async fn take(&self, need: Resources, had: Vec<u32>) -> Share {
        let _first = self.line.lock().await;
        let mut changes = self.free.subscribe();
        loop {
            let mut gpus = Vec::new();
            let taken = self.free.send_if_modified(|free| {
                let fits = free.resources.covers(&need) && had.iter().all(|gpu| free.gpus.contains(gpu));
                if fits {
                    free.resources = free.resources.less(&need);
                    let chosen =
                        if had.is_empty() { free.gpus.iter().copied().collect() } else { had.clone() };
                    gpus = chosen.into_iter().take(need.gpus as usize).collect();
                    free.gpus.retain(|gpu| !gpus.contains(gpu));
                }
                fits
            });
            if taken {
                return Share { free: self.free.clone(), taken: need, gpus };
            }
            if changes.changed().await.is_err() {
                unreachable!("the sender is held by self");
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.free.send_modify(|free| {
            free.resources = free.resources.plus(&self.taken);
            free.gpus.extend(&self.gpus);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const fn cpus(n: u64) -> Resources {
        Resources { cpu_millis: n * 1000, memory_bytes: 0, gpus: 0, disk_bytes: 0, jobs: 0 }
    }

    #[tokio::test]
    async fn no_more_is_taken_than_there_is() {
        let capacity = Capacity::new(cpus(3));
        let two = capacity.take(cpus(2), Vec::new()).await;
        let _one = capacity.take(cpus(1), Vec::new()).await;
        let mut waiting = Box::pin(capacity.take(cpus(2), Vec::new()));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(two);
        assert_eq!(waiting.await.taken, cpus(2));
    }

    #[tokio::test]
    async fn a_gpu_is_one_jobs_own() {
        let gpus = |gpus| Resources { gpus, ..Resources::default() };
        let capacity = Capacity::new(gpus(3));
        let had = capacity.take(gpus(1), vec![1]).await;
        let two = capacity.take(gpus(2), Vec::new()).await;
        assert_eq!((had.gpus(), two.gpus()), (&[1][..], &[0, 2][..]));
        drop(had);
        assert_eq!(capacity.take(gpus(1), Vec::new()).await.gpus(), [1]);
    }

    #[tokio::test]
    async fn a_small_one_does_not_overtake_a_large_one() {
        let capacity = Capacity::new(cpus(2));
        let one = capacity.take(cpus(1), Vec::new()).await;
        let mut large = Box::pin(capacity.take(cpus(2), Vec::new()));
        assert!(large.as_mut().now_or_never().is_none());
        let mut small = Box::pin(capacity.take(cpus(1), Vec::new()));
        assert!(small.as_mut().now_or_never().is_none());
        drop(one);
        drop(large.await);
        drop(small.await);
    }

    #[tokio::test]
    async fn who_stops_waiting_leaves_the_line() {
        let capacity = Capacity::new(cpus(1));
        let one = capacity.take(cpus(1), Vec::new()).await;
        let mut waiting = Box::pin(capacity.take(cpus(1), Vec::new()));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(waiting);
        drop(one);
        assert!(capacity.take(cpus(1), Vec::new()).now_or_never().is_some());
    }
}
