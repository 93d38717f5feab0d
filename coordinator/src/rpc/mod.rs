//! What both services answer with: statuses, long answers, and streams of messages that callers send.

mod answer;
pub(crate) mod incoming;
pub(crate) mod status;
pub(crate) mod traffic;

pub(crate) use answer::{ANSWERS, Answers, answer};
