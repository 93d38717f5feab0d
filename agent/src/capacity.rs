//! The agent's capacity: attempts wait here, first come first served, until what they need is free. The agent never
//! runs more than its capacity, whatever a coordinator sends.

use std::sync::Arc;

use bt_model::resources::Resources;
use tokio::sync::Mutex;
use tokio::sync::watch;

/// What is free. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Capacity {
    free: Arc<watch::Sender<Resources>>,
    /// Held by the attempt that is first in line; tokio's mutex is fair.
    line: Arc<Mutex<()>>,
}

/// What an attempt has taken; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    free: Arc<watch::Sender<Resources>>,
    taken: Resources,
}

impl Capacity {
    pub(crate) fn new(all: Resources) -> Self {
        Self { free: Arc::new(watch::Sender::new(all)), line: Arc::default() }
    }

    /// Waits until `need` is free, and takes it.
    pub(crate) async fn take(&self, need: Resources) -> Share {
        let _first = self.line.lock().await;
        let mut changes = self.free.subscribe();
        loop {
            let taken = self.free.send_if_modified(|free| {
                let fits = free.covers(&need);
                if fits {
                    *free = free.less(&need);
                }
                fits
            });
            if taken {
                return Share { free: self.free.clone(), taken: need };
            }
            if changes.changed().await.is_err() {
                unreachable!("the sender is held by self");
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let taken = self.taken;
        self.free.send_modify(|free| *free = free.plus(&taken));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const fn cpus(n: u64) -> Resources {
        Resources { cpu_millis: n * 1000, memory_bytes: 0, gpus: 0, disk_bytes: 0 }
    }

    #[tokio::test]
    async fn no_more_is_taken_than_there_is() {
        let capacity = Capacity::new(cpus(3));
        let two = capacity.take(cpus(2)).await;
        let _one = capacity.take(cpus(1)).await;
        let mut waiting = Box::pin(capacity.take(cpus(2)));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(two);
        assert_eq!(waiting.await.taken, cpus(2));
    }

    #[tokio::test]
    async fn a_small_one_does_not_overtake_a_large_one() {
        let capacity = Capacity::new(cpus(2));
        let one = capacity.take(cpus(1)).await;
        let mut large = Box::pin(capacity.take(cpus(2)));
        assert!(large.as_mut().now_or_never().is_none());
        let mut small = Box::pin(capacity.take(cpus(1)));
        assert!(small.as_mut().now_or_never().is_none());
        drop(one);
        drop(large.await);
        drop(small.await);
    }

    #[tokio::test]
    async fn who_stops_waiting_leaves_the_line() {
        let capacity = Capacity::new(cpus(1));
        let one = capacity.take(cpus(1)).await;
        let mut waiting = Box::pin(capacity.take(cpus(1)));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(waiting);
        drop(one);
        assert!(capacity.take(cpus(1)).now_or_never().is_some());
    }
}
