//! Traces of jobs, sent by OpenTelemetry's protocol: one of each job, from its submit to its result, over all processes that
//! work on it.
//!
//! A job's trace, and the id of its first span, are made of the sweep's id and the job's number: every process knows them, so
//! that nothing is kept. Of a sweep with many jobs every n-th is traced. Until [`start`] nothing is done.

mod exporter;
mod trace;

pub use exporter::{flush, start, stop};
pub use trace::{Attributes, Trace};
