//! Aliases of images as clients see them: promoted once a sweep has tested the image, taken back, listed, and what a manifest
//! means by one.

mod gate;
mod service;

use bt_model::alias::{self, Target, check_name};
use bt_model::image;
use bt_model::manifest::Manifest;
use bt_model::nearest::nearest;
use bt_proto::convert::{present, timestamp};
use bt_proto::v1;
use jiff::Timestamp;
use serde_json::json;
use tonic::Status;
use tracing::info;

use super::Clients;
use crate::access::call;
use crate::queue::{AliasRow, AliasSet, PromotedImage};
use crate::rpc::status;

/// The name in the history where callers are not asked who they are.
const ANYBODY: &str = "anybody";

impl Clients {
    pub(crate) async fn all_aliases(&self) -> Result<Vec<v1::AliasChange>, Status> {
        let rows = self.queue.aliases().await.map_err(status::queue)?;
        Ok(rows.into_iter().map(change).collect())
    }

    /// All that an alias has stood for, the latest first.
    pub(crate) async fn alias_history(&self, alias: &str) -> Result<Vec<v1::AliasChange>, Status> {
        check_name(alias).map_err(Status::invalid_argument)?;
        let rows = self.queue.alias_changes(alias).await.map_err(status::queue)?;
        if rows.is_empty() {
            return Err(self.no_alias(alias).await?);
        }
        Ok(rows.into_iter().rev().map(change).collect())
    }

    /// Has an alias stand for an image, if its gate says that it may.
    pub(crate) async fn promote_image(
        &self,
        asked: v1::PromoteImageRequest,
    ) -> Result<v1::ChangeAliasReply, Status> {
        let wrong = Status::invalid_argument;
        let v1::PromoteImageRequest { alias, image, pin, gate, dry_run } = asked;
        check_name(&alias).map_err(wrong)?;
        if let Err(why) = image::check(&image) {
            return Err(wrong(match alias::name_of(&image) {
                Some(_) => format!("{image} is an alias itself; promote an image"),
                None => format!("{image:?} is not an image: its name {why}"),
            }));
        }
        let known = present(pin);
        if let Some(known) = known.as_ref().filter(|pin| !image::is_pin(pin)) {
            return Err(wrong(format!(
                "{known:?} does not stand for one image for good; write sha256:..., or NAME@sha256:..."
            )));
        }
        self.allow_image(&image, known.as_deref())?;
        call::about(&alias, "");
        let gate = match present(gate) {
            Some(sweep) => Some(self.passed_gate(&sweep).await?),
            None => None,
        };
        let pin = match known {
            Some(pin) => pin,
            None => self.stands_for(&image).await?,
        };
        self.allow_image(&image, Some(&pin))?;
        if let Some(gate) = &gate {
            gate.ran(&image, &pin)?;
        }
        let promoted = PromotedImage { image, pin, gate: gate.map(|gate| (gate.sweep, gate.name)) };
        if dry_run {
            call::changes_nothing();
            return self.planned(alias, promoted).await;
        }
        let set = self.queue.promote(&alias, &promoted, &who()).await.map_err(status::queue)?;
        if set.changed {
            info!("the alias {alias} stands for {} now, which is {}", set.now.image, set.now.pin);
        }
        Ok(changed(set))
    }

    /// What a promotion would do.
    async fn planned(&self, alias: String, promoted: PromotedImage) -> Result<v1::ChangeAliasReply, Status> {
        let before = self.queue.alias(&alias).await.map_err(status::queue)?;
        let number = before.as_ref().map_or(0, |before| before.number) + 1;
        let PromotedImage { image, pin, gate } = promoted;
        let (gate, gate_name) = gate.map(|(sweep, name)| (sweep.to_string(), name)).unzip();
        let kind = alias::ChangeKind::Promote.name().to_owned();
        let now = v1::AliasChange {
            alias,
            number,
            kind,
            image,
            pin,
            promotion: number,
            gate,
            gate_name,
            by: who(),
            at: None,
        };
        Ok(v1::ChangeAliasReply { now: Some(now), before: before.map(change), changed: false })
    }

    /// Has an alias stand for an image that it stood for before.
    pub(crate) async fn roll_back(
        &self,
        asked: v1::RollBackAliasRequest,
    ) -> Result<v1::ChangeAliasReply, Status> {
        let v1::RollBackAliasRequest { alias, to, dry_run } = asked;
        check_name(&alias).map_err(Status::invalid_argument)?;
        let target = present(to).map(|to| Target::of(&to)).transpose().map_err(Status::invalid_argument)?;
        let target = target.unwrap_or(Target::LastGood);
        call::about(&alias, "");
        let policy = self.images.clone();
        let may = |row: &AliasRow| policy.refusal(&row.image, Some(&row.pin)).map_or(Ok(()), Err);
        let set = self.queue.roll_back(&alias, &target, &who(), dry_run, may).await.map_err(status::queue)?;
        let Some(set) = set else { return Err(self.no_alias(&alias).await?) };
        if dry_run {
            call::changes_nothing();
            let mut reply = changed(set);
            reply.changed = false;
            reply.now = reply.now.map(|now| v1::AliasChange { at: None, ..now });
            return Ok(reply);
        }
        info!("the alias {alias} stands for {} again, which is {}", set.now.image, set.now.pin);
        Ok(changed(set))
    }

    pub(crate) async fn remove_alias(&self, alias: &str) -> Result<(), Status> {
        check_name(alias).map_err(Status::invalid_argument)?;
        call::about(alias, "");
        let before = self.queue.alias(alias).await.map_err(status::queue)?;
        if !self.queue.remove_alias(alias).await.map_err(status::queue)? {
            return Err(self.no_alias(alias).await?);
        }
        call::changed(&before.as_ref().map_or(json!(null), audited), &json!(null));
        info!("the alias {alias} is removed");
        Ok(())
    }

    /// The manifest with the image that its alias stands for now; the alias, and what that image is pinned to.
    pub(super) async fn without_alias(
        &self,
        mut manifest: Manifest,
    ) -> Result<(Manifest, Option<(String, String)>), Status> {
        let Some(alias) = alias::name_of(&manifest.image).map(str::to_owned) else {
            return Ok((manifest, None));
        };
        let found = self.queue.alias(&alias).await.map_err(status::queue)?;
        let Some(row) = found else { return Err(self.no_alias(&alias).await?) };
        manifest.image = row.image;
        Ok((manifest, Some((alias, row.pin))))
    }

    /// What an image stands for: it says so itself, or an agent is asked, as for a sweep.
    async fn stands_for(&self, image: &str) -> Result<String, Status> {
        if image::is_pin(image) {
            return Ok(image.to_owned());
        }
        match self.resolutions.ask(&self.sessions, image).await {
            Some(Ok(pin)) if image::is_pin(&pin) => Ok(pin),
            Some(Ok(pin)) => {
                Err(Status::internal(format!("an agent says that {image} is {pin:?}, which is no digest")))
            }
            Some(Err(why)) => Err(Status::failed_precondition(format!(
                "no agent could tell what {image} stands for: {why}; name it by its digest, NAME@sha256:..."
            ))),
            None => match self.queue.image(&image::tagged(image)).await.map_err(status::queue)? {
                Some(pushed) => Ok(pushed.id),
                None => Err(Status::failed_precondition(format!(
                    "no agent is connected to this coordinator that could tell what {image} stands for; start one, or name the \
                     image by its digest, NAME@sha256:..."
                ))),
            },
        }
    }

    async fn no_alias(&self, alias: &str) -> Result<Status, Status> {
        let all = self.queue.aliases().await.map_err(status::queue)?;
        let hint = match nearest(alias, all.iter().map(|row| row.alias.as_str())) {
            Some(near) => format!("did you mean {near}?"),
            None => "`btctl image aliases` lists them".to_owned(),
        };
        Ok(Status::not_found(format!("there is no alias {alias} of an image; {hint}")))
    }
}

fn who() -> String {
    let name = call::identity().map(|identity| identity.name.clone()).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| ANYBODY.to_owned())
}

/// As the audit log has it.
fn audited(row: &AliasRow) -> serde_json::Value {
    let gate = row.gate.as_ref().map(|(sweep, name)| format!("{name} ({sweep})"));
    json!({ "number": row.number, "image": row.image, "pin": row.pin, "gate": gate })
}

/// Writes down what was changed, and answers with it.
fn changed(set: AliasSet) -> v1::ChangeAliasReply {
    let AliasSet { now, before, changed } = set;
    if changed {
        call::changed(&before.as_ref().map_or(json!(null), audited), &audited(&now));
    }
    v1::ChangeAliasReply { now: Some(change(now)), before: before.map(change), changed }
}

fn change(row: AliasRow) -> v1::AliasChange {
    let (gate, gate_name) = row.gate.map(|(sweep, name)| (sweep.to_string(), name)).unzip();
    v1::AliasChange {
        alias: row.alias,
        number: row.number,
        kind: row.kind.name().to_owned(),
        image: row.image,
        pin: row.pin,
        promotion: row.promotion,
        gate,
        gate_name,
        by: row.by,
        at: Some(row.at).filter(|at| *at != Timestamp::UNIX_EPOCH).map(timestamp),
    }
}
