//! Aliases of images.

use axum::Json;
use axum::extract::{Path, State};
use bt_documents::{AliasChange, AliasHistory, Aliases, Changed, ChangedAlias};
use bt_proto::v1;
use schemars::JsonSchema;
use serde::Deserialize;

use super::actions::Nothing;
use super::reply::{Given, Reply};
use crate::clients::Clients;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PromoteImage {
    /// An image: NAME:TAG, NAME@sha256:..., or the id of a pushed one.
    image: String,
    /// A sweep: the image is refused unless all jobs of this sweep have succeeded with that very image.
    gate: Option<String>,
    /// True: change nothing, and answer with what would be changed.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RollBackAlias {
    /// The number of a change, or the first digits of a digest; if it is not given, the latest image before this one that the
    /// alias was not taken back from.
    to: Option<String>,
    /// True: change nothing, and answer with what would be changed.
    #[serde(default)]
    dry_run: bool,
}

fn read(changes: &[v1::AliasChange]) -> Result<Vec<AliasChange>, bt_documents::Unreadable> {
    changes.iter().map(AliasChange::try_from).collect()
}

pub(super) async fn list(State(clients): State<Clients>) -> Reply<Aliases> {
    Ok(Json(Aliases { aliases: read(&clients.all_aliases().await?)? }))
}

pub(super) async fn show(State(clients): State<Clients>, Path(alias): Path<String>) -> Reply<AliasHistory> {
    Ok(Json(AliasHistory { changes: read(&clients.alias_history(&alias).await?)? }))
}

pub(super) async fn promote(
    State(clients): State<Clients>,
    Path(alias): Path<String>,
    Given(given): Given<PromoteImage>,
) -> Reply<ChangedAlias> {
    let PromoteImage { image, gate, dry_run } = given;
    let request = v1::PromoteImageRequest { alias, image, pin: None, gate, dry_run };
    Ok(Json(ChangedAlias::try_from(&clients.promote_image(request).await?)?))
}

pub(super) async fn roll_back(
    State(clients): State<Clients>,
    Path(alias): Path<String>,
    Given(RollBackAlias { to, dry_run }): Given<RollBackAlias>,
) -> Reply<ChangedAlias> {
    let request = v1::RollBackAliasRequest { alias, to, dry_run };
    Ok(Json(ChangedAlias::try_from(&clients.roll_back(request).await?)?))
}

pub(super) async fn remove(
    State(clients): State<Clients>,
    Path(alias): Path<String>,
    Given(Nothing {}): Given<Nothing>,
) -> Reply<Changed> {
    clients.remove_alias(&alias).await?;
    Ok(Json(Changed { changed: true }))
}
