//! `btctl ls`: the sweeps.

use bt_documents as documents;
use bt_proto::{convert, v1};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, civil};

use crate::client::Client;
use crate::error::Error;
use crate::output::{Cell, Column, Json, ListArgs, Row, View, say, words};
use crate::settings::Settings;

const EXAMPLES: &str = "\
Examples:
  btctl ls                                   # what is queued or running
  btctl ls --all -o json
  btctl ls --state failed --since 2d
  btctl ls --all --owner ann --name 'sma-*' --tag nightly";

/// List sweeps, the newest first.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Ls {
    /// List finished sweeps too.
    #[arg(short, long)]
    all: bool,
    /// Only sweeps in this state; may be repeated, or several separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STATE")]
    state: Vec<SweepStateArg>,
    /// Only sweeps of this owner.
    #[arg(long)]
    owner: Option<String>,
    /// Only sweeps of this name; * stands for any characters.
    #[arg(long)]
    name: Option<String>,
    /// Only sweeps that were submitted since then: an age such as 2d, or a time such as 2026-01-31 or
    /// 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// Only sweeps with this tag; may be repeated.
    #[arg(long)]
    tag: Vec<String>,
    /// How many to list.
    #[arg(short = 'n', long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    output: ListArgs,
}

/// How a sweep is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum SweepStateArg {
    Queued,
    Running,
    Paused,
    Open,
    Succeeded,
    Failed,
    Cancelled,
}

impl From<SweepStateArg> for v1::SweepState {
    fn from(state: SweepStateArg) -> Self {
        match state {
            SweepStateArg::Queued => Self::Queued,
            SweepStateArg::Running => Self::Running,
            SweepStateArg::Paused => Self::Paused,
            SweepStateArg::Open => Self::Open,
            SweepStateArg::Succeeded => Self::Succeeded,
            SweepStateArg::Failed => Self::Failed,
            SweepStateArg::Cancelled => Self::Cancelled,
        }
    }
}

/// A time ago, or a time.
pub(super) fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        let ago = SignedDuration::try_from(ago).map_err(|error| error.to_string())?;
        return Timestamp::now().checked_sub(ago).map_err(|error| error.to_string());
    }
    let day = || text.parse::<civil::Date>().ok()?.to_zoned(TimeZone::system()).ok();
    let time = || text.parse::<civil::DateTime>().ok()?.to_zoned(TimeZone::system()).ok();
    let local = || day().or_else(time).map(|zoned| zoned.timestamp());
    text.parse().ok().or_else(local).ok_or_else(|| {
        "write an age such as 2d, a day such as 2026-01-31, or a time such as 2026-01-31T12:00:00Z".to_owned()
    })
}

impl Ls {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let request = v1::ListSweepsRequest {
            // Whoever asks for a state wants those sweeps that are in it.
            all: self.all || !self.state.is_empty(),
            limit: Some(self.limit),
            states: self.state.iter().map(|state| v1::SweepState::from(*state).into()).collect(),
            owner: self.owner,
            name: self.name,
            since: self.since.map(convert::timestamp),
            tags: self.tag,
        };
        let v1::ListSweepsReply { sweeps, hidden } = Client::connect(settings).await?.sweeps(request).await?;
        let columns = vec![
            Column::always("name"),
            Column::always("id"),
            Column::always("state"),
            Column::always("jobs"),
            Column::always("queued"),
            Column::always("running"),
            Column::always("succeeded"),
            Column::always("failed"),
            Column::always("cancelled"),
            Column::always("pruned"),
            Column::always("created").headed("age"),
            Column::wide("owner"),
            Column::wide("priority"),
            Column::wide("waits for"),
            Column::wide("image"),
            Column::wide("tags"),
            Column::wide("note"),
        ];
        let cut_off = sweeps.len() == self.limit as usize;
        let rows = sweeps.into_iter().map(row).collect::<Result<Vec<_>, _>>()?;
        if rows.is_empty() {
            say("no sweep matches");
        }
        View { columns, rows }.print(&self.output)?;
        if cut_off {
            say(&format!("these are the newest {}; -n lists more", self.limit));
        }
        match hidden {
            0 => {}
            1 => say("1 finished sweep is not listed; btctl ls --all lists it"),
            hidden => say(&format!("{hidden} finished sweeps are not listed; btctl ls --all lists them")),
        }
        Ok(())
    }
}

fn row(sweep: v1::Sweep) -> Result<Row, Error> {
    let counts = sweep.counts.unwrap_or_default();
    let v1::Counts { queued, running, succeeded, failed, cancelled, pruned } = counts;
    let cells = vec![
        Cell::text(&sweep.name),
        Cell::text(sweep.id.chars().take(8).collect::<String>()),
        Cell::text(documents::SweepState::from(&sweep).name()),
        Cell::number(words::total(&counts)),
        Cell::number(queued),
        Cell::number(running),
        Cell::number(succeeded),
        Cell::number(failed),
        Cell::number(cancelled),
        Cell::number(pruned),
        Cell::ago(words::instant(sweep.created.as_ref())?),
        Cell::text(&sweep.owner),
        Cell::number(sweep.priority),
        Cell::text(sweep.waits_for.join(" ")),
        Cell::text(&sweep.image),
        Cell::text(sweep.tags.join(" ")),
        Cell::text(&sweep.note),
    ];
    Ok(Row {
        cells,
        json: Json::of(&documents::Sweep::try_from(&sweep)?)?,
        name: words::address(&sweep).to_owned(),
    })
}
