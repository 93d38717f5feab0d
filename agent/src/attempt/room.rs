//! The room that an attempt takes on its machine, with the gpus and cpus that are its own.

use bt_engine::capacity::{Own, Share};
use bt_model::resources::Resources;

use super::state::Stop;
use crate::agent::Agent;
use crate::assembly::agents_fault;
use crate::job::container::Job;
use crate::site::workdir::AttemptDir;

/// Waits until so much is free; what the attempt had in an earlier run of the agent it gets again.
pub(super) async fn take(agent: &Agent, job: &Job, need: Resources, dir: &AttemptDir) -> Result<Share, Stop> {
    let cores = job.pinned();
    let own = Own { had_gpus: dir.gpus(), cores, had_cores: dir.cores() };
    let has = agent.site.offer.cores.len();
    if cores > has {
        // It offers more cpus than its machine has.
        let why = format!("{cores} cpus are to be pinned, and its machine has {has}");
        return Err(Stop::Refused(why));
    }
    let share = agent.site.capacity.take_own(need, &own).await;
    if !share.cores().is_empty() {
        dir.note_cores(share.cores()).map_err(agents_fault)?;
    }
    Ok(share)
}
