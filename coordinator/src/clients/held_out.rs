//! What jobs of a sweep see no data of: what its family says, or what it says itself, if it is the first; or all data, if it
//! spends a look.

use bt_model::manifest::Manifest;
use bt_proto::v1;
use tonic::Status;

use super::Clients;
use super::submit::invalid;
use crate::access::call;
use crate::queue::{HeldOut, HoldoutRow};
use crate::rpc::status;

/// Characters of the longest reason for a look.
const LONGEST_WHY: usize = 1_000;

impl Clients {
    /// The manifest as its jobs are to be run.
    pub(super) async fn held_out(
        &self,
        header: &v1::SubmitHeader,
        mut manifest: Manifest,
    ) -> Result<(Manifest, HeldOut), Status> {
        let family = manifest.family();
        let set = self.queue.holdout(&family).await.map_err(status::queue)?;
        let own = manifest.judged.holdout.take();
        if let (Some(HoldoutRow { holdout, sweep, owner, .. }), Some(own)) = (&set, &own)
            && holdout != own
        {
            return Err(Status::failed_precondition(format!(
                "the family {family:?} has another holdout, {}, since sweep {sweep} of {owner}; a holdout is never changed: write \
                 the same, or leave it out",
                holdout.written()
            )));
        }
        let inherits = own.is_none();
        let owner = set.as_ref().map(|set| set.owner.clone());
        let holdout = set.map(|set| set.holdout).or(own);
        let look = header.look.as_deref().map(reason).transpose()?;
        match (&holdout, &look) {
            (None, Some(_)) => {
                return Err(Status::failed_precondition(format!(
                    "the family {family:?} has no holdout, so there is no look to spend; submit the sweep without one"
                )));
            }
            (Some(_), Some(_)) => may_look(header, owner.as_deref())?,
            (Some(held), None) => {
                manifest.judged.holdout = Some(held.clone());
                manifest.admit_holdout().map_err(|error| match inherits {
                    true => Status::invalid_argument(format!(
                        "the family {family:?} has the holdout {}, which holds for this sweep too: {error}",
                        held.written()
                    )),
                    false => invalid(error),
                })?;
            }
            (None, None) => {}
        }
        Ok((manifest, HeldOut { holdout, look }))
    }
}

/// Whether this submit may spend a look at the data that an owner holds out, if it is held out already: the one place that
/// decides it.
fn may_look(header: &v1::SubmitHeader, owner: Option<&str>) -> Result<(), Status> {
    if let Some(owner) = owner.filter(|owner| !call::may_change(owner)) {
        return Err(Status::permission_denied(format!(
            "the holdout of this family is {owner}'s: its owner or an operator spends looks"
        )));
    }
    match header.open {
        true => Err(Status::invalid_argument(
            "an open sweep can't spend a look: it would be one look at whatever is added to it later",
        )),
        false => Ok(()),
    }
}

/// Why a look is spent, checked.
fn reason(why: &str) -> Result<String, Status> {
    let why = why.trim();
    match why.chars().count() {
        0 => Err(Status::invalid_argument(
            "a look needs a reason, for all who see it later; say why it is spent",
        )),
        1..=LONGEST_WHY if !why.contains('\0') => Ok(why.to_owned()),
        length => Err(Status::invalid_argument(format!(
            "the reason for a look has {length} characters; {LONGEST_WHY} without NUL are the most"
        ))),
    }
}
