//! Why attempts and jobs ended, as columns of a statement.

use bt_model::reason::{Reason, ReasonKind};

use super::row::Pg;

/// Reasons as Postgres has them: a kind, and a code or a message where the kind has one.
#[derive(Default)]
pub(super) struct Reasons {
    pub(super) kinds: Vec<Option<Pg<ReasonKind>>>,
    pub(super) codes: Vec<Option<i32>>,
    pub(super) messages: Vec<Option<String>>,
}

impl Reasons {
    pub(super) fn push(&mut self, reason: Option<&Reason>) {
        self.kinds.push(reason.map(|reason| Pg(reason.kind())));
        self.codes.push(reason.and_then(Reason::code));
        let message = reason.and_then(Reason::message);
        // Postgres keeps no NUL in a text.
        self.messages.push(message.map(|text| text.replace('\0', "\u{fffd}")));
    }
}
