//! What an attempt's container uses, looked at now and then.

use std::time::Duration;

use bt_engine::Sample;
use bt_model::id::AttemptId;
use jiff::Timestamp;
use tokio::time::sleep;
use tracing::debug;

use crate::agent::Agent;
use crate::job::holdings::Held;
use crate::record::usage::Limits;

/// The first look comes early, for jobs of a second.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_millis(250);
/// With more containers than this, each is looked at less often, so that looking stays a small part of the work.
const LOOKED_AT: usize = 50;

/// Measures an attempt's container until it is dropped. What it had used `before` was other jobs'.
pub(crate) async fn measure(
    agent: &Agent,
    held: &Held,
    container: AttemptId,
    limits: Limits,
    before: Sample,
) {
    let began = held.dir.started().unwrap_or_else(Timestamp::now);
    sleep(FIRST_LOOK).await;
    loop {
        match agent.site.engine.sample(container).await {
            Ok(Some(sample)) => {
                let ran = Duration::try_from(Timestamp::now().duration_since(began)).unwrap_or_default();
                let used = Sample {
                    memory_bytes: sample.memory_bytes,
                    cpu_micros: sample.cpu_micros.saturating_sub(before.cpu_micros),
                    written_bytes: sample.written_bytes.saturating_sub(before.written_bytes),
                };
                match limits.check(used, ran) {
                    Some(used) => held.used(&used),
                    None => debug!(attempt.id = %held.id(), ?used, "more than the container can have used"),
                }
            }
            Ok(None) => {}
            Err(error) => {
                debug!(attempt.id = %held.id(), error = %error, "what the container uses is not known");
            }
        }
        let held = agent.holdings.count();
        sleep(LOOK * (held / LOOKED_AT + 1) as u32).await;
    }
}
