//! Has schedules submit their sweeps when they are due. Every coordinator does this; a time is one coordinator's at a time, and
//! makes one sweep ([`crate::clients`], `schedules/fire.rs`).

use std::time::Duration;

use bt_model::role::Role;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::access::record::Record;
use crate::clients::{Clients, Fired};
use crate::loops::Health;
use crate::queue::{self, Deed};

/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(1);
/// How often monitoring is told how schedules stand, and how often the log says which end soon.
const MEASURE: Duration = Duration::from_secs(30);
const TELL: Duration = Duration::from_secs(24 * 3600);
/// Schedules and times in one pass.
const AT_ONCE: usize = 100;

/// The loop that looks at schedules.
pub(crate) struct Timer {
    pub(crate) clients: Clients,
    pub(crate) record: Record,
}

impl Timer {
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut health = Health::new("looking at schedules");
        let (mut measured, mut told) = (None, None);
        loop {
            let mut looked = self.run_once(&shutdown).await;
            if looked.is_ok() && is_due(&mut measured, MEASURE) {
                looked = self.measure(&mut told).await;
            }
            health.note(looked);
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Notes for monitoring how schedules stand, and says now and then which of them end.
    async fn measure(&self, told: &mut Option<Instant>) -> Result<(), queue::Error> {
        let ending = self.clients.measure_schedules().await?;
        if !ending.is_empty() && is_due(told, TELL) {
            ending.iter().for_each(|why| warn!("{why}"));
        }
        Ok(())
    }

    async fn run_once(&self, shutdown: &CancellationToken) -> Result<(), queue::Error> {
        for _ in 0..AT_ONCE {
            if shutdown.is_cancelled() || !self.clients.look_at_schedules().await? {
                break;
            }
        }
        for _ in 0..AT_ONCE {
            if shutdown.is_cancelled() {
                break;
            }
            match self.clients.fire_one(None).await? {
                None => break,
                Some(fired) => {
                    if let Some(fired) = fired {
                        self.record.done(deed(&fired)).await;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether something is to be done again that was done last at this time; it is done now.
fn is_due(last: &mut Option<Instant>, every: Duration) -> bool {
    let is_due = last.is_none_or(|last| last.elapsed() >= every);
    if is_due {
        *last = Some(Instant::now());
    }
    is_due
}

/// As the audit log has it: nobody has called.
fn deed(fired: &Fired) -> Deed {
    let sweep = fired.sweep.as_ref().map(|(id, name)| format!("{name} ({id})"));
    Deed {
        who: fired.owner.clone(),
        role: Some(Role::Submitter),
        from: String::new(),
        what: format!("schedule {}", fired.name),
        target: sweep.unwrap_or_default(),
        before: String::new(),
        after: json!({ "time": fired.time, "outcome": fired.outcome.name() }).to_string(),
        outcome: match &fired.why {
            None => "done".to_owned(),
            Some(why) => format!("{}: {why}", fired.outcome.name()),
        },
    }
}
