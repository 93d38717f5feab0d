//! What an attempt's container has used so far: peaks and sums of what the engine says now and then.

use std::time::Duration;

use bt_model::id::AttemptId;
use bt_proto::v1;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tracing::debug;

use crate::agent::Agent;
use crate::engine::Sample;
use crate::holdings::Held;

/// The first look comes early, for jobs of a second.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_millis(250);
/// With more containers than this, each is looked at less often, so that looking stays a small part of the work.
const LOOKED_AT: usize = 50;

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

/// Measures an attempt's container until it is dropped. What it had used `before` was somebody else's.
pub(crate) async fn measure(agent: &Agent, held: &Held, container: AttemptId, before: Sample) {
    sleep(FIRST_LOOK).await;
    loop {
        look(agent, held, container, &before).await;
        let held = agent.holdings.count();
        sleep(LOOK * (held / LOOKED_AT + 1) as u32).await;
    }
}

async fn look(agent: &Agent, held: &Held, container: AttemptId, before: &Sample) {
    match agent.engine.sample(container).await {
        Ok(Some(sample)) => held.used(&Sample {
            memory_bytes: sample.memory_bytes,
            cpu_micros: sample.cpu_micros.saturating_sub(before.cpu_micros),
            written_bytes: sample.written_bytes.saturating_sub(before.written_bytes),
        }),
        Ok(None) => {}
        Err(error) => debug!(attempt.id = %held.id(), error = %error, "what the container uses is not known"),
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
}
