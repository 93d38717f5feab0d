//! Schedules: when each runs next, and what became of its latest time.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use bt_documents::Schedule;
use bt_model::schedule::zone;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Frame, rendered, shown};
use crate::clients::Clients;

#[derive(Template)]
#[template(path = "schedules.html")]
struct Page {
    frame: Frame,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    owner: String,
    rule: String,
    zone: String,
    next: String,
    /// The latest time, what became of it, and why.
    last: String,
    outcome: String,
    why: String,
    sweep: Option<String>,
    ends: String,
}

pub(super) async fn list(State(clients): State<Clients>) -> Response {
    let frame = Frame::new("", "schedules");
    shown(frame.clone(), async {
        let schedules = clients.all_schedules().await?;
        let schedules = schedules.iter().map(Schedule::try_from).collect::<Result<Vec<_>, _>>()?;
        rendered(&Page { frame, rows: schedules.into_iter().map(Row::of).collect() })
    })
    .await
}

impl Row {
    fn of(schedule: Schedule) -> Self {
        let zone = zone(&schedule.zone).unwrap_or(TimeZone::UTC);
        let shown = |time: Timestamp| time.to_zoned(zone.clone()).strftime("%a %Y-%m-%d %H:%M").to_string();
        let rule = match (schedule.cron, schedule.calendar, schedule.at) {
            (Some(cron), ..) => cron,
            (None, Some(calendar), Some(at)) => format!("{calendar} {at}"),
            (None, ..) => "when it is asked to".to_owned(),
        };
        let last = schedule.last;
        Self {
            name: schedule.name,
            owner: schedule.owner,
            rule,
            next: match schedule.next.first() {
                Some(next) => shown(*next),
                None if schedule.paused => "paused".to_owned(),
                None => String::new(),
            },
            last: last.as_ref().and_then(|last| last.time).map(shown).unwrap_or_default(),
            outcome: last.as_ref().map(|last| last.outcome.clone()).unwrap_or_default(),
            why: last.as_ref().and_then(|last| last.why.clone()).unwrap_or_default(),
            sweep: last.and_then(|last| last.sweep),
            ends: schedule.ends.unwrap_or_default(),
            zone: schedule.zone,
        }
    }
}
