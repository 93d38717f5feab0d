//! Who may name which secret in a manifest. A name that is not there and one that is another's are refused in the same words:
//! nobody finds out by asking which secrets there are.

use bt_model::manifest::Manifest;
use tonic::Status;

use crate::access::call;
use crate::access::rights::Right;
use crate::queue::{KnownSecret, Queue};
use crate::rpc::status;

/// What a sweep of this owner hears of a secret that it can't have.
pub(super) fn not_there(name: &str, owner: &str) -> String {
    format!(
        "there is no secret {name} that sweeps of {owner} may name; `btctl secrets ls` lists those that you may, and an operator \
         stores one: btctl secrets set {name} --for {owner}"
    )
}

/// Checks the secrets of a sweep that is submitted. Says which it names, and whether it may name any.
pub(crate) async fn check(
    queue: &Queue,
    manifest: &Manifest,
    owner: &str,
) -> Result<(Vec<String>, bool), Status> {
    let names: Vec<_> = manifest.sandbox.secrets.iter().map(|secret| secret.name.clone()).collect();
    if names.is_empty() {
        return Ok((names, false));
    }
    let any = call::may(Right::UseSecrets);
    let known = queue.known_secrets(&names, owner).await.map_err(status::queue)?;
    match known.iter().find(|secret| !may_name(secret, any)) {
        Some(secret) => Err(Status::invalid_argument(not_there(&secret.name, owner))),
        None => Ok((names, any)),
    }
}

/// What the coordinator has is for whom an operator has said; what agents hold is for all, as their volumes are.
fn may_name(secret: &KnownSecret, any: bool) -> bool {
    match secret.may {
        Some(may) => may || any,
        None => secret.is_held,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_coordinator_has_is_for_its_owners_whatever_agents_hold() {
        let may = |may, is_held, any| may_name(&KnownSecret { name: "KEY".to_owned(), may, is_held }, any);
        for (stored, is_held, any, expected) in [
            (None, false, false, false),
            (None, false, true, false),
            (None, true, false, true),
            (Some(false), false, false, false),
            (Some(false), true, false, false),
            (Some(false), false, true, true),
            (Some(true), false, false, true),
        ] {
            assert_eq!(may(stored, is_held, any), expected, "{stored:?} {is_held} {any}");
        }
    }
}
