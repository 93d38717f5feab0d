//! What is said of input that is refused.

use std::fmt::Display;

/// Characters of a refusal: what is wrong, what would be right, and a part of the input (`bt_model::text::remark`); and
/// besides where it is.
const LONGEST: usize = 1_100;

/// Checks what is said of a refused input.
#[track_caller]
pub(crate) fn check(refusal: &impl Display) {
    let said = refusal.to_string();
    assert!(!said.trim().is_empty(), "it is refused without a reason");
    let length = said.chars().count();
    assert!(length <= LONGEST, "{length} characters are said of it: {said:.300}");
    harmless(&said);
}

/// Checks that a text is one line that changes no terminal.
#[track_caller]
pub(crate) fn harmless(text: &str) {
    let control = text.chars().find(|c| c.is_control());
    assert!(control.is_none(), "{control:?} is in {text:?}");
}

/// What was read, or nothing if it was refused as it should be.
#[track_caller]
pub(crate) fn read<T, E: Display>(result: Result<T, E>) -> Option<T> {
    result.map_err(|refusal| check(&refusal)).ok()
}
