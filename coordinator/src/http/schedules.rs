//! Schedules.

use axum::Json;
use axum::extract::{Path, State};
use bt_documents::{AskedRun, Changed, Schedule, Schedules, ShownSchedule};
use bt_model::manifest::{Format, JobSource};
use bt_proto::convert::timestamp;
use bt_proto::v1;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::actions::Nothing;
use super::reply::{Given, Reply};
use super::submit::sent_manifest;
use crate::clients::Clients;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddSchedule {
    name: String,
    /// Whose sweeps it submits: one of the owners of the caller's token. If it is not given, the token's own name; `api` where
    /// nobody is asked who they are.
    #[serde(default)]
    owner: String,
    /// The sweep's manifest.
    #[schemars(with = "bt_documents::Object")]
    manifest: Box<RawValue>,
    /// A cron expression of five fields. Without one, and without a calendar, it runs when it is asked to.
    cron: Option<String>,
    /// A time zone of the IANA database; UTC if it is not given, or the calendar's.
    zone: Option<String>,
    /// A market calendar, as docs/SCHEDULES.md describes it.
    #[schemars(with = "Option<bt_documents::Object>")]
    calendar: Option<Box<RawValue>>,
    /// When in the calendar's days: `open+30m`, `close-5m`.
    at: Option<String>,
    /// What is done about times that were missed: none, last or all.
    #[serde(default)]
    catch_up: String,
    /// How late a time may be made up: from 60 to 2678400 (31 days, if it is not given).
    catch_up_seconds: Option<u64>,
    /// What is done while an earlier sweep has not finished: skip, queue or allow.
    #[serde(default)]
    overlap: String,
    /// True: keep nothing, and answer what would be kept.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RunSchedule {
    /// The time that it is run for, once only; now if it is not given.
    time: Option<Timestamp>,
}

pub(super) async fn list(State(clients): State<Clients>) -> Reply<Schedules> {
    let schedules = clients.all_schedules().await?;
    Ok(Json(Schedules { schedules: schedules.iter().map(Schedule::try_from).collect::<Result<_, _>>()? }))
}

pub(super) async fn show(State(clients): State<Clients>, Path(name): Path<String>) -> Reply<ShownSchedule> {
    Ok(Json(ShownSchedule::try_from(&clients.shown_schedule(&name).await?)?))
}

pub(super) async fn add(State(clients): State<Clients>, Given(given): Given<AddSchedule>) -> Reply<Schedule> {
    let manifest = sent_manifest(&clients, given.manifest.get().as_bytes(), Format::Json).await?;
    let rows = match &manifest.jobs {
        JobSource::Rows(rows) => rows.iter().map(|row| row.to_json()).collect(),
        JobSource::Matrix(_) | JobSource::One => Vec::new(),
    };
    let request = v1::AddScheduleRequest {
        name: given.name,
        owner: given.owner,
        manifest: manifest.to_json(),
        rows,
        cron: given.cron,
        zone: given.zone,
        calendar: given.calendar.map(|calendar| calendar.get().to_owned()),
        at: given.at,
        catch_up: given.catch_up,
        catch_up_seconds: given.catch_up_seconds,
        overlap: given.overlap,
        dry_run: given.dry_run,
    };
    Ok(Json(Schedule::try_from(&clients.add(request).await?)?))
}

pub(super) async fn run(
    State(clients): State<Clients>,
    Path(name): Path<String>,
    Given(given): Given<RunSchedule>,
) -> Reply<AskedRun> {
    let request = v1::RunScheduleRequest { name, time: given.time.map(timestamp) };
    Ok(Json(AskedRun::try_from(&clients.run_now(request).await?)?))
}

pub(super) async fn pause(
    State(clients): State<Clients>,
    Path(name): Path<String>,
    Given(Nothing {}): Given<Nothing>,
) -> Reply<Changed> {
    Ok(Json(Changed { changed: clients.hold(&name, true).await?.changed }))
}

pub(super) async fn resume(
    State(clients): State<Clients>,
    Path(name): Path<String>,
    Given(Nothing {}): Given<Nothing>,
) -> Reply<Changed> {
    Ok(Json(Changed { changed: clients.hold(&name, false).await?.changed }))
}

pub(super) async fn remove(
    State(clients): State<Clients>,
    Path(name): Path<String>,
    Given(Nothing {}): Given<Nothing>,
) -> Reply<Changed> {
    clients.forget(&name).await?;
    Ok(Json(Changed { changed: true }))
}
