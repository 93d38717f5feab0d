//! The call that is being answered: who makes it, and what of it is written down. It goes with the task that answers, so that
//! no function on the way can lose it or be handed another's.

use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bt_model::id::AgentId;
use bt_model::role::Role;

use super::identity::Identity;
use super::rights::Right;
use crate::queue::Sphere;

tokio::task_local! {
    static CALL: Arc<Call>;
}

/// A call that is being answered.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) identity: Arc<Identity>,
    /// Where it came from.
    pub(crate) from: Option<IpAddr>,
    /// Nobody on the way can read what is said: the line is encrypted, or does not leave the machine.
    is_private: bool,
    note: Mutex<Note>,
}

/// What is written down of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Note {
    pub(crate) target: String,
    pub(crate) before: String,
    pub(crate) after: String,
    /// It was only asked what would be changed.
    pub(crate) is_dry: bool,
    /// Who signs in by the call, as far as that is known: it is written down, whatever comes of it.
    pub(crate) signs_in: Option<SignsIn>,
}

/// Who signs in.
#[derive(Clone, Debug, Default)]
pub(crate) struct SignsIn {
    /// Empty: nobody who is known.
    pub(crate) name: String,
    pub(crate) role: Option<Role>,
}

impl Call {
    pub(crate) fn new(identity: Arc<Identity>, from: Option<IpAddr>, is_private: bool) -> Arc<Self> {
        Arc::new(Self { identity, from, is_private, note: Mutex::default() })
    }

    pub(crate) fn note(&self) -> Note {
        self.note.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers a call.
pub(crate) async fn answering<F: Future>(call: Arc<Call>, answer: F) -> F::Output {
    CALL.scope(call, answer).await
}

/// Who makes the call that is answered now; nobody where none is.
pub(crate) fn identity() -> Option<Arc<Identity>> {
    CALL.try_with(|call| call.identity.clone()).ok()
}

/// Whether nobody on the way can read what is said in the call that is answered now.
pub(crate) fn line_is_private() -> bool {
    CALL.try_with(|call| call.is_private).unwrap_or(false)
}

/// Does something with whose sweeps the caller may change: nobody's where no call is answered.
pub(crate) fn sphere<T>(check: impl FnOnce(Sphere<'_>) -> T) -> T {
    match identity() {
        Some(identity) => check(identity.sphere()),
        None => check(Sphere::Of(&[])),
    }
}

/// Whether the caller may change sweeps of this owner.
pub(crate) fn may_change(owner: &str) -> bool {
    let may = |identity: Arc<Identity>| {
        let is_its = match identity.sphere() {
            Sphere::Everybodys => true,
            Sphere::Of(owners) => owners.iter().any(|own| own == owner),
        };
        is_its && identity.may(Right::Change)
    };
    identity().is_some_and(may)
}

/// Whether the caller may do this.
pub(crate) fn may(right: Right) -> bool {
    identity().is_some_and(|identity| identity.may(right))
}

/// Whose sweep a submit makes, given whose its caller wants it to be. The error says whose it may be.
pub(crate) fn owner(asked: &str, otherwise: &str) -> Result<String, String> {
    match identity() {
        Some(identity) => identity.owner(asked, otherwise),
        None => Err("nobody submits".to_owned()),
    }
}

/// Fails where the caller has a certificate of its own, and it is another agent's.
pub(crate) fn is_agent(agent: AgentId) -> Result<(), String> {
    match identity().and_then(|identity| identity.agent) {
        Some(own) if own != agent => {
            Err(format!("the certificate is agent {own}'s, and the call is made as agent {agent}"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Notes what the call is about.
pub(crate) fn about(name: &str, id: &str) {
    noted(|note| note.target = if id.is_empty() { name.to_owned() } else { format!("{name} ({id})") });
}

/// Notes what was there before, and what is there now; JSON.
pub(crate) fn changed(before: &serde_json::Value, after: &serde_json::Value) {
    noted(|note| {
        note.before = before.to_string();
        note.after = after.to_string();
    });
}

/// Notes that somebody signs in by this call.
pub(crate) fn signs_in(name: &str, role: Option<Role>) {
    noted(|note| note.signs_in = Some(SignsIn { name: name.to_owned(), role }));
}

/// Where the call that is answered now came from.
pub(crate) fn from() -> Option<IpAddr> {
    CALL.try_with(|call| call.from).ok().flatten()
}

/// Notes that it is only asked what would be changed.
pub(crate) fn changes_nothing() {
    noted(|note| note.is_dry = true);
}

fn noted(take: impl FnOnce(&mut Note)) {
    // Outside of a call there is nothing to note.
    CALL.try_with(|call| take(&mut call.note.lock().unwrap_or_else(PoisonError::into_inner))).ok();
}
