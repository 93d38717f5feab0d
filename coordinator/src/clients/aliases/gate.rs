//! The sweep that an image must have passed before an alias stands for it.

use bt_model::alias::digest;
use bt_model::id::SweepId;
use bt_model::image;
use bt_model::manifest::DevMount;
use bt_model::state::JobState;
use tonic::Status;

use crate::clients::Clients;
use crate::queue::SweepRow;
use crate::rpc::status;

/// A sweep of which all jobs have succeeded.
pub(super) struct PassedGate {
    pub(super) sweep: SweepId,
    pub(super) name: String,
    /// What it ran.
    pin: String,
}

impl Clients {
    /// Finds a gate's sweep. It is an error if not all of its jobs have succeeded.
    pub(super) async fn passed_gate(&self, sweep: &str) -> Result<PassedGate, Status> {
        let found = self.find(sweep).await?;
        let row = self.queue.sweep(found.id).await.map_err(status::queue)?;
        let row = row.ok_or_else(|| Status::not_found(format!("sweep {} was removed", found.name)))?;
        if let Some(why) = not_passed(&row) {
            return Err(Status::failed_precondition(why));
        }
        let pin =
            row.image_pin.clone().or_else(|| Some(row.image.clone()).filter(|image| image::is_pin(image)));
        let pin = pin.ok_or_else(|| {
            Status::failed_precondition(format!(
                "the gate {} does not say which image it ran, {} is all that is known",
                row.name, row.image
            ))
        })?;
        Ok(PassedGate { sweep: row.id, name: row.name, pin })
    }
}

impl PassedGate {
    /// Fails unless it ran this very image.
    pub(super) fn ran(&self, image: &str, pin: &str) -> Result<(), Status> {
        if digest(&self.pin) == digest(pin) {
            return Ok(());
        }
        Err(Status::failed_precondition(format!(
            "the gate {} ran another image: {}, and {image} is {} now; run it with the image that is to be promoted",
            self.name,
            digest(&self.pin),
            digest(pin)
        )))
    }
}

/// Why a gate does not let an image pass, and what would help.
fn not_passed(row: &SweepRow) -> Option<String> {
    let name = &row.name;
    let count = |state| {
        let counted = JobState::ALL.iter().zip(row.counts).find(|(known, _)| **known == state);
        counted.map_or(0, |(_, count)| count)
    };
    let all: u32 = row.counts.iter().sum();
    let left = count(JobState::Queued) + count(JobState::Running);
    if row.open {
        return Some(format!("the gate {name} takes more jobs yet; btctl close {name} lets it end"));
    }
    if left > 0 {
        return Some(format!(
            "the gate {name} has not finished: {left} of {all} jobs are left; btctl watch {name} shows its progress"
        ));
    }
    if all == 0 {
        return Some(format!("the gate {name} has no jobs, so it tested nothing"));
    }
    if let Some(why) = DevMount::words(&row.dev_mounts) {
        return Some(format!(
            "the gate {name} did not test the image as it is ({why}); build an image that has those files, and run the gate \
             with it"
        ));
    }
    if count(JobState::Succeeded) == all {
        return None;
    }
    let others = [JobState::Failed, JobState::Cancelled, JobState::Pruned].map(|state| (state, count(state)));
    let others = others.into_iter().filter(|(_, jobs)| *jobs > 0);
    let others: Vec<_> = others.map(|(state, jobs)| format!("{jobs} {}", state.name())).collect();
    Some(format!(
        "the gate {name} has not passed: of its {all} jobs {} did not succeed ({}); btctl show {name} says why",
        all - count(JobState::Succeeded),
        others.join(", ")
    ))
}
