//! What clients want to know. Long answers come in pages, in an order that a next page can start from.

mod agents;
mod jobs;
mod outputs;
mod queued;
mod sweeps;

pub(crate) use agents::AgentRow;
pub(super) use jobs::job_row;
pub(crate) use jobs::{InQueue, JobFilter, JobRow};
pub(crate) use outputs::{AttemptRow, OutputRow};
pub(crate) use queued::QueuedSweep;
pub(crate) use sweeps::{BestJob, SweepDetails, SweepFilter, SweepRow};
