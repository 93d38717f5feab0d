//! The agent's capacity: attempts wait here, first come first served, until what they need is free. The agent never
//! runs more than its capacity, whatever a coordinator sends.

use std::collections::BTreeSet;
use std::sync::Arc;

use bt_model::resources::Resources;
use tokio::sync::Mutex;
use tokio::sync::watch;

/// What is free. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Capacity {
    free: Arc<watch::Sender<Free>>,
    /// Held by the attempt that is first in line; tokio's mutex is fair.
    line: Arc<Mutex<()>>,
    /// Attempts that wait, the first in line among them.
    waiting: Arc<watch::Sender<usize>>,
}

/// One that waits; it counts as long as this lives.
struct WaitsForRoom<'c>(&'c watch::Sender<usize>);

impl<'c> WaitsForRoom<'c> {
    fn of(waiting: &'c watch::Sender<usize>) -> Self {
        waiting.send_modify(|waiting| *waiting += 1);
        Self(waiting)
    }
}

impl Drop for WaitsForRoom<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

#[derive(Clone, Debug)]
struct Free {
    resources: Resources,
    /// The engine's numbers of the gpus that nobody has.
    gpus: BTreeSet<u32>,
    /// Linux's numbers of the cpus that are no attempt's own.
    cores: BTreeSet<u32>,
}

/// What an attempt needs besides its part of everything.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// The gpus that it had in an earlier run of the agent.
    pub had_gpus: Vec<u32>,
    /// How many cpus are to be its own.
    pub cores: usize,
    /// Those that it had in an earlier run of the agent.
    pub had_cores: Vec<u32>,
}

/// What an attempt has taken; given back when dropped.
#[derive(Debug)]
pub struct Share {
    free: Arc<watch::Sender<Free>>,
    taken: Resources,
    gpus: Vec<u32>,
    cores: Vec<u32>,
}

impl Share {
    /// The gpus that are the attempt's own.
    pub fn gpus(&self) -> &[u32] {
        &self.gpus
    }

    /// The cpus that are the attempt's own.
    pub fn cores(&self) -> &[u32] {
        &self.cores
    }

    pub fn taken(&self) -> Resources {
        self.taken
    }

    /// Gives all back but the memory.
    pub fn keep_memory(&mut self) {
        let kept = Resources { memory_bytes: self.taken.memory_bytes, ..Resources::default() };
        let given = self.taken.less(&kept);
        let (gpus, cores) = (std::mem::take(&mut self.gpus), std::mem::take(&mut self.cores));
        self.free.send_modify(|free| {
            free.resources = free.resources.plus(&given);
            free.gpus.extend(gpus);
            free.cores.extend(cores);
        });
        self.taken = kept;
    }

    /// Takes over what another holds.
    pub fn absorb(&mut self, mut other: Self) {
        self.taken = self.taken.plus(&other.taken);
        self.gpus.append(&mut other.gpus);
        self.cores.append(&mut other.cores);
        other.taken = Resources::default();
    }
}

impl Capacity {
    pub fn new(all: Resources) -> Self {
        Self::with_cores(all, &[])
    }

    /// With these cpus of the machine, of which attempts can have some for themselves.
    pub fn with_cores(all: Resources, cores: &[u32]) -> Self {
        let free =
            Free { resources: all, gpus: (0..all.gpus).collect(), cores: cores.iter().copied().collect() };
        Self {
            free: Arc::new(watch::Sender::new(free)),
            line: Arc::default(),
            waiting: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Waits until `need` is free, and takes it; of the gpus those that the attempt had in an earlier run of the agent.
    pub async fn take(&self, need: Resources, had: Vec<u32>) -> Share {
        self.take_own(need, &Own { had_gpus: had, ..Own::default() }).await
    }

    /// As [`Self::take`], with cpus of its own.
    pub async fn take_own(&self, need: Resources, own: &Own) -> Share {
        if let Ok(_first) = self.line.try_lock()
            && let Some(share) = self.take_now(need, own)
        {
            return share;
        }
        let _waiting = WaitsForRoom::of(&self.waiting);
        let _first = self.line.lock().await;
        let mut changes = self.free.subscribe();
        loop {
            if let Some(share) = self.take_now(need, own) {
                return share;
            }
            if changes.changed().await.is_err() {
                unreachable!("the sender is held by self");
            }
        }
    }
}

impl Capacity {
    /// Takes `need` if it is free and nobody waits.
    pub fn try_take(&self, need: Resources, had: &[u32]) -> Option<Share> {
        let _first = self.line.try_lock().ok()?;
        self.take_now(need, &Own { had_gpus: had.to_vec(), ..Own::default() })
    }

    /// Waits until somebody waits for room.
    pub async fn wanted(&self) {
        let mut waiting = self.waiting.subscribe();
        if waiting.wait_for(|waiting| *waiting > 0).await.is_err() {
            unreachable!("the sender is held by self");
        }
    }

    fn take_now(&self, need: Resources, own: &Own) -> Option<Share> {
        let Own { had_gpus: had, cores: wanted, had_cores } = own;
        let (mut gpus, mut cores) = (Vec::new(), Vec::new());
        let taken = self.free.send_if_modified(|free| {
            let fits = free.resources.covers(&need)
                && had.iter().all(|gpu| free.gpus.contains(gpu))
                && free.cores.len() >= *wanted
                && had_cores.iter().all(|core| free.cores.contains(core));
            if fits {
                free.resources = free.resources.less(&need);
                let chosen = if had.is_empty() { free.gpus.iter().copied().collect() } else { had.to_vec() };
                gpus = chosen.into_iter().take(need.gpus as usize).collect();
                free.gpus.retain(|gpu| !gpus.contains(gpu));
                let chosen = if had_cores.is_empty() {
                    free.cores.iter().copied().collect()
                } else {
                    had_cores.clone()
                };
                cores = chosen.into_iter().take(*wanted).collect();
                free.cores.retain(|core| !cores.contains(core));
            }
            fits
        });
        taken.then(|| Share { free: self.free.clone(), taken: need, gpus, cores })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.free.send_modify(|free| {
            free.resources = free.resources.plus(&self.taken);
            free.gpus.extend(&self.gpus);
            free.cores.extend(&self.cores);
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
    async fn a_pinned_cpu_is_one_jobs_own() {
        let own = |cores, had: &[u32]| Own { cores, had_cores: had.to_vec(), ..Own::default() };
        // More cpus are offered than the machine has.
        let capacity = Capacity::with_cores(cpus(8), &[0, 1, 4]);
        let had = capacity.take_own(cpus(1), &own(1, &[1])).await;
        let two = capacity.take_own(cpus(2), &own(2, &[])).await;
        assert_eq!((had.cores(), two.cores()), (&[1][..], &[0, 4][..]));
        let any = capacity.take(cpus(1), Vec::new()).await;
        assert_eq!(any.cores(), [] as [u32; 0]);
        let third = own(1, &[]);
        let mut waiting = Box::pin(capacity.take_own(cpus(1), &third));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(had);
        assert_eq!(waiting.await.cores(), [1]);
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
    async fn a_share_that_keeps_its_memory_gives_the_rest_back_and_grows_again() {
        let memory = |memory_bytes| Resources { memory_bytes, ..cpus(1) };
        let capacity = Capacity::new(memory(10));
        let mut idle = capacity.take(memory(6), Vec::new()).await;
        idle.keep_memory();
        assert!(capacity.try_take(memory(6), &[]).is_none(), "its memory is its own");
        let mut share = capacity.try_take(memory(6).less(&idle.taken()), &[]).unwrap();
        share.absorb(idle);
        assert_eq!(share.taken(), memory(6));
        drop(share);
        assert!(capacity.try_take(memory(10), &[]).is_some());
    }

    #[tokio::test]
    async fn what_can_wait_takes_nothing_while_somebody_waits() {
        let capacity = Capacity::new(cpus(2));
        let one = capacity.take(cpus(1), Vec::new()).await;
        assert!(capacity.wanted().now_or_never().is_none());
        let mut waiting = Box::pin(capacity.take(cpus(2), Vec::new()));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(capacity.try_take(cpus(1), &[]).is_none());
        assert!(capacity.wanted().now_or_never().is_some());
        drop(one);
        drop(waiting.await);
        assert!(capacity.wanted().now_or_never().is_none());
        assert!(capacity.try_take(cpus(1), &[]).is_some());
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
