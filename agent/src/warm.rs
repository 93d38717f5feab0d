//! Jobs as forks of an interpreter that has imported their libraries (`containers: warm`): which commands can run so, the
//! interpreter in the container (`runner.py`) and the agent's end of it, and what is remembered of images.
//!
//! What always holds: of a job's text nothing runs in the interpreter that forks; a sweep whose jobs can't run so runs as
//! with `containers: reuse` or `each`, and says why.

pub(crate) mod command;
mod link;
mod memory;
mod runner;

pub(crate) use link::Listener;
pub(crate) use memory::{Known, Warmth};
pub(crate) use runner::{Fork, Hello, JobToRun, Runner, StartFailure};

/// The program that the interpreter runs, which the container finds beside its input.
pub(crate) const PROGRAM: &str = include_str!("warm/runner.py");
pub(crate) const PROGRAM_NAME: &str = "warm.py";
pub(crate) const SOCKET_NAME: &str = "warm.sock";
