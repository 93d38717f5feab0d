//! How much of a sweep's best result is luck, and how often its idea was tried.

use axum::Json;
use axum::extract::{Path, State};
use bt_documents::{Assessment, Families, FamilyTrials};
use schemars::JsonSchema;
use serde::Deserialize;

use super::reply::{Asked, Reply};
use crate::assess::Question;
use crate::clients::Clients;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CountTrials {
    /// A family, or a sweep whose family is meant.
    family: String,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AssessSweep {
    /// The metric by which the best is chosen; if it is not given, the manifest's first goal, or a usual one.
    by: Option<String>,
    /// A job that all others are held against.
    benchmark: Option<u32>,
    /// Blocks that time is split into for the probability of overfitting: an even number from 2 to 24; if it is not given, 16,
    /// or fewer if they would be short.
    blocks: Option<u32>,
}

pub(super) async fn assess(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
    Asked(asked): Asked<AssessSweep>,
) -> Reply<Assessment> {
    let AssessSweep { by, benchmark, blocks } = asked;
    let judged = clients.judged(&sweep, Question { by, benchmark, blocks }).await?;
    Ok(Json(judged.assessment.clone()))
}

pub(super) async fn families(State(clients): State<Clients>) -> Reply<Families> {
    Ok(Json(Families { families: clients.families().await? }))
}

pub(super) async fn trials(
    State(clients): State<Clients>,
    Asked(asked): Asked<CountTrials>,
) -> Reply<FamilyTrials> {
    Ok(Json(clients.family_trials(&asked.family).await?))
}
