//! What an attempt's container has used so far: peaks and sums of what the engine says now and then.

use std::time::Duration;

use bt_engine::Sample;
use bt_proto::v1;
use serde::{Deserialize, Serialize};

/// How long a container may have run before it was noted that it runs.
const CLOCK_SLACK: Duration = Duration::from_secs(5);
/// The part of its memory limit that a container may exceed it by.
const EXCEEDED_PART: u64 = 16;

/// What was used; nothing where it was never measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) peak_memory_bytes: Option<u64>,
    pub(crate) cpu_micros: Option<u64>,
    pub(crate) written_bytes: Option<u64>,
    /// How long the container ran.
    #[serde(default)]
    pub(crate) wall_millis: Option<u64>,
}

/// What a container may use: memory, and cpus for as long as it has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) memory_bytes: u64,
    pub(crate) cpu_millis: u64,
}

impl Limits {
    /// The sample as the container's own, after it ran for so long; nothing if it can't be its own. The kernel lets a
    /// container exceed its memory a little for a moment, which counts as the limit.
    pub(crate) fn check(&self, sample: Sample, ran: Duration) -> Option<Sample> {
        let exceeded = self.memory_bytes.saturating_add(self.memory_bytes / EXCEEDED_PART);
        let time = u64::try_from((ran + CLOCK_SLACK).as_micros()).unwrap_or(u64::MAX);
        let cpu = (time / 1000).saturating_mul(self.cpu_millis);
        let is_own = sample.memory_bytes <= exceeded && sample.cpu_micros <= cpu;
        is_own.then_some(Sample { memory_bytes: sample.memory_bytes.min(self.memory_bytes), ..sample })
    }
}

impl Usage {
    pub(crate) fn add(&mut self, sample: &Sample) {
        let most = |known: Option<u64>, now: u64| Some(known.map_or(now, |known| known.max(now)));
        if sample.cpu_micros > 0 {
            self.peak_memory_bytes = most(self.peak_memory_bytes, sample.memory_bytes);
            self.cpu_micros = most(self.cpu_micros, sample.cpu_micros);
        }
        self.written_bytes = most(self.written_bytes, sample.written_bytes);
    }

    pub(crate) fn to_wire(self) -> Option<v1::Usage> {
        let Self { peak_memory_bytes, cpu_micros, written_bytes, wall_millis } = self;
        let usage = v1::Usage { peak_memory_bytes, cpu_micros, written_bytes, wall_millis };
        (self != Self::default()).then_some(usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_stay_and_what_was_never_measured_is_absent() {
        let mut usage = Usage::default();
        assert_eq!(usage.to_wire(), None);
        usage.add(&Sample { memory_bytes: 7, cpu_micros: 1, written_bytes: 0 });
        usage.add(&Sample { memory_bytes: 3, cpu_micros: 2, written_bytes: 5 });
        assert_eq!(
            (usage.peak_memory_bytes, usage.cpu_micros, usage.written_bytes),
            (Some(7), Some(2), Some(5))
        );
    }

    #[test]
    fn more_than_a_container_can_use_is_not_its_own() {
        let limits = Limits { memory_bytes: 64 << 20, cpu_millis: 500 };
        let sample = |memory_bytes, seconds: u64| Sample {
            memory_bytes,
            cpu_micros: seconds * 1_000_000,
            written_bytes: 1,
        };
        let check = |sample| limits.check(sample, Duration::from_secs(10));
        assert_eq!(check(sample(1 << 20, 5)), Some(sample(1 << 20, 5)));
        assert_eq!(check(sample(65 << 20, 5)), Some(sample(64 << 20, 5)), "a moment's excess");
        assert_eq!(check(sample(9 << 30, 5)), None, "the machine's memory");
        assert_eq!(check(sample(1 << 20, 8_700)), None, "the machine's time");
    }
}
