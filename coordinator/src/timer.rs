//! Has schedules submit their sweeps when they are due. Every coordinator does this; a time is one coordinator's at a time, and
//! makes one sweep ([`crate::clients`], `schedules/fire.rs`).

use std::time::Duration;

use bt_model::role::Role;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::access::record::Record;
use crate::clients::{Clients, Fired};
use crate::loops::Health;
use crate::queue::{self, Deed};

/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(1);
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
        loop {
            health.note(self.run_once(&shutdown).await);
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
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
