//! How a container ended, and what its end means for the job: success, or a reason.

use std::time::Duration;

use bt_model::reason::Reason;

/// How a container ended, as the engine tells it; [`classify`] says what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    pub code: i64,
    /// The kernel killed a process of the container for exceeding its memory; not always the first process.
    pub oom: bool,
    /// The engine's own words about a failure; mostly empty.
    pub error: String,
    /// The engine, or the machine, was stopped while it ran, and may have ended it.
    pub interrupted: bool,
    /// How long it ran, by the engine's clock, if it tells.
    pub ran: Option<Duration>,
}

impl Exit {
    /// An end with this exit code and nothing else to say of it.
    pub fn with_code(code: i64) -> Self {
        Self { code, oom: false, error: String::new(), interrupted: false, ran: None }
    }

    /// The end of what SIGTERM ended.
    pub fn stopped() -> Self {
        Self::with_code(128 + 15)
    }
}

/// The highest signal of Linux (`SIGRTMAX`).
const SIGNAL_MAX: i64 = 64;

/// What a container's end means; `None` is success.
///
/// A process that the kernel killed for memory makes the attempt `oom` whatever the exit code says, 0 included: a
/// worker of a pool was lost, so what the rest computed can't be trusted. An exit code of 128+n stands for signal n,
/// as shells and the container's init pass it on; 137 without the kernel's word is a kill, not `oom`.
pub fn classify(exit: &Exit) -> Option<Reason> {
    if exit.oom {
        return Some(Reason::Oom);
    }
    match exit.code {
        1.. if exit.interrupted => {
            let told = "the container engine or the machine was stopped while the job ran";
            Some(Reason::Agent(told.to_owned()))
        }
        0 if exit.error.is_empty() => None,
        0 => Some(Reason::Agent(exit.error.clone())),
        code @ 129.. if code - 128 <= SIGNAL_MAX => Some(Reason::Signal((code - 128) as i32)),
        code => Some(Reason::Exit(i32::try_from(code).unwrap_or(i32::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i64, oom: bool) -> Option<String> {
        classify(&Exit { code, oom, error: String::new(), interrupted: false, ran: None })
            .map(|reason| reason.to_string())
    }

    #[test]
    fn an_end_is_told_by_code_and_memory() {
        assert_eq!(ended(0, false), None);
        assert_eq!(ended(1, false).as_deref(), Some("exit(1)"));
        assert_eq!(ended(127, false).as_deref(), Some("exit(127)"));
        assert_eq!(ended(128, false).as_deref(), Some("exit(128)"));
        assert_eq!(ended(129, false).as_deref(), Some("signal(1)"));
        assert_eq!(ended(137, false).as_deref(), Some("signal(9)"));
        assert_eq!(ended(143, false).as_deref(), Some("signal(15)"));
        assert_eq!(ended(192, false).as_deref(), Some("signal(64)"));
        assert_eq!(ended(193, false).as_deref(), Some("exit(193)"));
        assert_eq!(ended(255, false).as_deref(), Some("exit(255)"));
        assert_eq!(ended(137, true).as_deref(), Some("oom"));
        assert_eq!(ended(0, true).as_deref(), Some("oom"));
    }

    #[test]
    fn an_end_that_the_machine_may_have_made_is_its_fault() {
        let exit = |code| Exit { code, oom: false, error: String::new(), interrupted: true, ran: None };
        assert!(matches!(classify(&exit(143)), Some(Reason::Agent(_))));
        assert_eq!(classify(&exit(0)), None);
    }

    #[test]
    fn an_end_that_the_engine_complains_of_is_no_success() {
        let exit = Exit { code: 0, oom: false, error: "shim died".to_owned(), interrupted: false, ran: None };
        assert_eq!(classify(&exit), Some(Reason::Agent("shim died".to_owned())));
    }
}
