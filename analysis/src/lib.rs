//! What is made of all jobs of a sweep, whoever asks for it: a table for other programs, and a comparison with another
//! sweep. And what the beginning of a table says that a job left.
//!
//! Jobs are taken one by one, as they come, and are not kept in memory: an export puts them by on disk, a comparison
//! keeps numbers. Nothing here asks the coordinator; the client and the HTTP API hand the jobs in.

pub mod compare;
pub mod export;
pub mod preview;
