//! `btctl schedule`: sweeps that are submitted again and again, by the clock, by a market's hours, or when somebody asks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bt_documents as documents;
use bt_model::manifest::Format;
use bt_model::schedule::{Calendar, CatchUp, CatchUpWindow, ENDS_SOON, Overlap, zone};
use bt_proto::bearer::Line;
use bt_proto::convert::timestamp;
use bt_proto::v1;
use bt_proto::v1::schedules_client::SchedulesClient;
use bt_proto::v1::submit_request::Kind;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::submit::{ManifestArgs, messages};
use crate::batch::BatchOutcome;
use crate::client::Client;
use crate::error::Error;
use crate::files;
use crate::output::{
    Cell, Column, Json, ListArgs, OutputArgs, OutputFormat, Row, View, print_facts, print_json, say, words,
};
use crate::settings::Settings;

/// Runs that people see.
const SHOWN_RUNS: usize = 10;

/// Submit sweeps again and again: by the clock, by a market's hours, or when somebody asks.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Schedule {
    /// Keep a manifest, and submit it when its rule says so; without --cron and --calendar, when it is asked to.
    #[command(after_help = "\
Examples:
  btctl schedule add nightly -f sweep.yaml --cron '30 22 * * 1-5' --zone Europe/London
  btctl schedule add after-close -f sweep.yaml --calendar nyse.yaml --at close+15m --overlap queue
  btctl schedule add on-new-data -f sweep.yaml

Jobs are told the time by BTCTL_SCHEDULE_TIME, BTCTL_SCHEDULE_DATE and BTCTL_SCHEDULE (the name), and any text of the manifest by
${schedule_time} and ${schedule_date}. A time that is skipped when
clocks are put forward fires when they have been; one that comes twice fires the first time.")]
    Add(Box<Add>),
    /// List schedules, with their next times and what became of the latest one.
    Ls(Ls),
    /// Show a schedule, its next times, and what became of its latest times.
    Show(Show),
    /// Remove schedules. Their sweeps stay.
    Rm(Named),
    /// Submit a schedule's sweep now, whatever its rule says.
    #[command(after_help = "\
Examples:
  btctl schedule run on-new-data
  btctl schedule run nightly --time 2026-01-05T22:30:00Z")]
    Run(Run),
    /// Submit nothing by the rules of these schedules. Times that pass meanwhile are not made up.
    Pause(Named),
    /// Let paused schedules go on, with their next times.
    Resume(Named),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Add {
    /// Name of the schedule. Its sweeps have the tag schedule:NAME.
    #[arg(value_name = "NAME")]
    schedule: String,
    #[command(flatten)]
    sweep: ManifestArgs,
    /// Cron expression: minute, hour, day of the month, month, day of the week.
    #[arg(long, value_name = "CRON", conflicts_with_all = ["calendar", "at"])]
    cron: Option<String>,
    /// Time zone of the cron expression, and of what jobs are told, e.g. Europe/London [default: UTC].
    #[arg(long, value_name = "ZONE", conflicts_with = "calendar")]
    zone: Option<String>,
    /// File with a market calendar; it is kept with the schedule.
    #[arg(long, value_name = "FILE", requires = "at")]
    calendar: Option<PathBuf>,
    /// When in each of the calendar's days: open, close, open+30m, close-5m.
    #[arg(long, value_name = "TIME", requires = "calendar")]
    at: Option<String>,
    /// What to do about times at which no coordinator was running: none, the last of them, or all (100 at most).
    #[arg(long, value_name = "none|last|all", default_value = "none", value_parser = catch_up)]
    catch_up: CatchUp,
    /// How late a time may be made up, e.g. 6h; a minute at least [default: 31 days, which is the most].
    #[arg(long, value_name = "TIME", value_parser = window)]
    catch_up_window: Option<CatchUpWindow>,
    /// What to do at a time at which an earlier sweep of the schedule has not finished: skip it, queue it until that has
    /// finished, or allow both at once.
    #[arg(long, value_name = "skip|queue|allow", default_value = "skip", value_parser = overlap)]
    overlap: Overlap,
    /// Show what would be kept and when it would run, and keep nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    output: ListArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Show {
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Named {
    /// Names of schedules.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Run {
    #[arg(value_name = "NAME")]
    name: String,
    /// The time that it is run for, in RFC 3339: once only, however often it is asked. Now if not given.
    #[arg(long, visible_alias = "at", value_name = "TIME")]
    time: Option<Timestamp>,
    #[command(flatten)]
    output: OutputArgs,
}

fn catch_up(text: &str) -> Result<CatchUp, String> {
    CatchUp::of(text)
}

fn window(text: &str) -> Result<CatchUpWindow, String> {
    let time = humantime::parse_duration(text).map_err(|error| format!("{error}; write 6h, or 90m"))?;
    CatchUpWindow::of_seconds(time.as_secs())
}

fn overlap(text: &str) -> Result<Overlap, String> {
    Overlap::of(text)
}

impl Schedule {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        match self {
            Self::Add(add) => add.run(settings).await,
            Self::Ls(ls) => ls.run(&Client::connect(settings).await?).await,
            Self::Show(show) => show.run(&Client::connect(settings).await?).await,
            Self::Rm(Named { names }) => remove(&Client::connect(settings).await?, &names).await,
            Self::Run(run) => run.run(&Client::connect(settings).await?).await,
            Self::Pause(Named { names }) => hold(&Client::connect(settings).await?, &names, true).await,
            Self::Resume(Named { names }) => hold(&Client::connect(settings).await?, &names, false).await,
        }
    }
}

impl Add {
    async fn run(self, settings: &Settings) -> Result<(), Error> {
        if let Some(name) = &self.zone {
            zone(name).map_err(|why| Error::Usage(format!("--zone: {why}")))?;
        }
        let calendar = self.calendar.as_deref().map(read_calendar).transpose()?;
        let mut manifest = self.sweep.manifest(settings).await?;
        if manifest.policy.notify.is_none() {
            manifest.policy.notify = Some(settings.receivers()?);
        }
        manifest.admit_holdout()?;
        manifest.remarks().iter().for_each(|note| say(note));
        let (mut text, mut rows) = (String::new(), Vec::new());
        for message in messages(&manifest, v1::SubmitHeader::default()) {
            match message.kind {
                Some(Kind::Header(header)) => text = header.manifest,
                Some(Kind::Rows(piece)) => rows.extend(piece.rows),
                None => {}
            }
        }
        let request = v1::AddScheduleRequest {
            name: self.schedule.clone(),
            owner: settings.asked_owner(),
            manifest: text,
            rows,
            cron: self.cron.clone(),
            zone: self.zone.clone(),
            calendar,
            at: self.at.clone(),
            catch_up: self.catch_up.name().to_owned(),
            overlap: self.overlap.name().to_owned(),
            dry_run: self.dry_run,
            catch_up_seconds: self.catch_up_window.map(CatchUpWindow::seconds),
        };
        let client = Client::connect(settings).await?;
        self.sweep.ship(&client, &manifest).await?;
        // Asked once: the second time its name would be taken.
        let asking = async { client.line.schedules().add_schedule(request).await };
        let reply = client.line.told_if_slow(asking).await?.into_inner();
        let schedule = documents::Schedule::try_from(&reply.schedule.unwrap_or_default())?;
        match self.output.output {
            OutputFormat::Name => return crate::output::print(&schedule.name),
            format if !format.is_for_people() => {
                return print_facts(facts(&schedule).into_iter(), &Json::of(&schedule)?, format);
            }
            _ => {}
        }
        let jobs = if schedule.jobs == 1 { "1 job".to_owned() } else { format!("{} jobs", schedule.jobs) };
        let kept = if self.dry_run { "would be kept (--dry-run)" } else { "is kept" };
        say(&format!(
            "schedule {} {kept}: sweep {} with {jobs}, for {}",
            schedule.name, schedule.sweep, schedule.owner
        ));
        match schedule.next.is_empty() {
            true => say(&format!("it runs when it is asked to: btctl schedule run {}", schedule.name)),
            false => say(&format!("next: {}", times(&schedule).join(", "))),
        }
        warn_of_end(&schedule);
        Ok(())
    }
}

/// The calendar of a file, as JSON.
fn read_calendar(path: &Path) -> Result<String, Error> {
    let name = files::called(path);
    let calendar = Calendar::parse(&files::read(path)?, Format::of_path(&path.display().to_string()), &name)?;
    serde_json::to_string(&calendar).map_err(|error| Error::Failed(error.to_string()))
}

/// The next times, as its zone has them.
fn times(schedule: &documents::Schedule) -> Vec<String> {
    let zone = zone(&schedule.zone).unwrap_or(TimeZone::UTC);
    schedule.next.iter().map(|time| shown(*time, &zone)).collect()
}

fn shown(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone()).strftime("%a %Y-%m-%d %H:%M %Z").to_string()
}

fn warn_of_end(schedule: &documents::Schedule) {
    let Some(ends) = &schedule.ends else { return };
    let soon = Timestamp::now().to_zoned(TimeZone::UTC).date().checked_add(Span::new().days(ENDS_SOON));
    let is_soon = matches!((ends.parse::<jiff::civil::Date>(), soon), (Ok(ends), Ok(soon)) if ends <= soon);
    if is_soon {
        say(&format!(
            "warning: the calendar {} of the schedule {} ends on {ends}; nothing is submitted after that. Add the schedule again with \
             a calendar that goes on",
            schedule.calendar.as_deref().unwrap_or_default(),
            schedule.name
        ));
    }
}

fn rule(schedule: &documents::Schedule) -> String {
    match (&schedule.cron, &schedule.calendar, &schedule.at) {
        (Some(cron), ..) => cron.clone(),
        (_, Some(calendar), Some(at)) => format!("{calendar} {at}"),
        _ => String::new(),
    }
}

impl Ls {
    async fn run(self, client: &Client) -> Result<(), Error> {
        let ask = |mut schedules: SchedulesClient<Line>| async move {
            Ok(schedules.list_schedules(v1::ListSchedulesRequest {}).await?.into_inner())
        };
        let found = client.line.ask_schedules(ask).await?.schedules;
        if found.is_empty() {
            say("there are no schedules; btctl schedule add NAME -f FILE --cron CRON adds one");
        }
        let columns = vec![
            Column::always("name").rank(0),
            Column::always("owner").rank(2),
            Column::always("rule").rank(1),
            Column::always("zone").rank(2),
            Column::always("next").rank(0),
            Column::always("last").rank(1),
            Column::always("outcome").rank(1),
            Column::wide("sweep"),
            Column::wide("ends"),
        ];
        let found = found.iter().map(documents::Schedule::try_from).collect::<Result<Vec<_>, _>>()?;
        found.iter().for_each(warn_of_end);
        let rows = found.iter().map(row).collect::<Result<_, _>>()?;
        View { columns, rows }.print(&self.output)
    }
}

fn row(schedule: &documents::Schedule) -> Result<Row, Error> {
    let rule = rule(schedule);
    let last = schedule.last.as_ref();
    let cells = vec![
        Cell::text(&schedule.name),
        Cell::text(&schedule.owner),
        if rule.is_empty() { Cell::Remark("when asked") } else { Cell::text(rule) },
        Cell::text(&schedule.zone),
        match schedule.next.first() {
            Some(next) => Cell::Time(*next),
            None if schedule.paused => Cell::Remark("paused"),
            None => Cell::None,
        },
        Cell::time(last.and_then(|last| last.time)),
        last.map_or(Cell::None, |last| Cell::text(&last.outcome)),
        Cell::text(&schedule.sweep),
        schedule.ends.as_ref().map_or(Cell::None, Cell::text),
    ];
    Ok(Row { cells, name: schedule.name.clone(), json: Json::of(schedule)? })
}

fn facts(schedule: &documents::Schedule) -> Vec<(String, Cell)> {
    let optional = |text: &Option<String>| text.as_ref().map_or(Cell::None, Cell::text);
    let mut facts = vec![
        ("name".to_owned(), Cell::text(&schedule.name)),
        ("owner".to_owned(), Cell::text(&schedule.owner)),
        ("sweep".to_owned(), Cell::text(&schedule.sweep)),
        ("jobs".to_owned(), Cell::number(schedule.jobs)),
        ("cron".to_owned(), optional(&schedule.cron)),
        ("calendar".to_owned(), optional(&schedule.calendar)),
        ("at".to_owned(), optional(&schedule.at)),
        ("ends".to_owned(), optional(&schedule.ends)),
        ("zone".to_owned(), Cell::text(&schedule.zone)),
        ("catch_up".to_owned(), Cell::text(&schedule.catch_up)),
        (
            "catch_up_window".to_owned(),
            Cell::text(words::span(Duration::from_secs(schedule.catch_up_seconds))),
        ),
        ("overlap".to_owned(), Cell::text(&schedule.overlap)),
        ("paused".to_owned(), if schedule.paused { Cell::text("yes") } else { Cell::None }),
    ];
    facts.extend(times(schedule).into_iter().map(|time| ("next".to_owned(), Cell::text(time))));
    facts
}

impl Show {
    async fn run(self, client: &Client) -> Result<(), Error> {
        let ask = |mut schedules: SchedulesClient<Line>| {
            let request = v1::ShowScheduleRequest { name: self.name.clone() };
            async move { Ok(schedules.show_schedule(request).await?.into_inner()) }
        };
        let reply = client.line.ask_schedules(ask).await?;
        let found = documents::ShownSchedule::try_from(&reply)?;
        if self.output.output == OutputFormat::Json {
            return print_json(&Json::of(&found)?);
        }
        let mut facts = facts(&found.schedule);
        let zone = zone(&found.schedule.zone).unwrap_or(TimeZone::UTC);
        for run in found.runs.iter().take(SHOWN_RUNS) {
            let time = run.time.map(|time| shown(time, &zone)).unwrap_or_default();
            let more = [&run.sweep, &run.why].into_iter().flatten().cloned().collect::<Vec<_>>().join(": ");
            facts.push(("run".to_owned(), Cell::text(format!("{time}: {} {more}", run.outcome).trim_end())));
        }
        warn_of_end(&found.schedule);
        print_facts(facts.into_iter(), &Json::none(), self.output.output)
    }
}

async fn remove(client: &Client, names: &[String]) -> Result<(), Error> {
    let mut batch = BatchOutcome::of_named(names.len());
    for name in names {
        let ask = |mut schedules: SchedulesClient<Line>| {
            let request = v1::RemoveScheduleRequest { name: name.clone() };
            async move { Ok(schedules.remove_schedule(request).await?.into_inner()) }
        };
        if batch.note(name, client.line.ask_schedules(ask).await)?.is_some() {
            say(&format!("schedule {name}: removed"));
        }
    }
    batch.finish()
}

async fn hold(client: &Client, names: &[String], paused: bool) -> Result<(), Error> {
    let mut batch = BatchOutcome::of_named(names.len());
    for name in names {
        let ask = |mut schedules: SchedulesClient<Line>| {
            let request = v1::PauseScheduleRequest { name: name.clone(), paused };
            async move { Ok(schedules.pause_schedule(request).await?.into_inner()) }
        };
        let Some(reply) = batch.note(name, client.line.ask_schedules(ask).await)? else { continue };
        match (reply.changed, paused) {
            (false, true) => say(&format!("schedule {name}: it was paused before")),
            (true, true) => {
                say(&format!("schedule {name}: paused; btctl schedule resume {name} lets it go on"))
            }
            (false, false) => say(&format!("schedule {name}: it was not paused")),
            (true, false) => {
                let schedule = documents::Schedule::try_from(&reply.schedule.unwrap_or_default())?;
                let next = times(&schedule).into_iter().next();
                say(&format!(
                    "schedule {name}: it goes on, next {}",
                    next.as_deref().unwrap_or("when it is asked to")
                ));
            }
        }
    }
    batch.finish()
}

impl Run {
    async fn run(self, client: &Client) -> Result<(), Error> {
        let request = v1::RunScheduleRequest { name: self.name.clone(), time: self.time.map(timestamp) };
        let reply = match self.time {
            Some(_) => {
                let ask = |mut schedules: SchedulesClient<Line>| {
                    let request = request.clone();
                    async move { Ok(schedules.run_schedule(request).await?.into_inner()) }
                };
                client.line.ask_schedules(ask).await?
            }
            // Asked once: the second time it would be another time.
            None => {
                let asking = async { client.line.schedules().run_schedule(request).await };
                client.line.told_if_slow(asking).await?.into_inner()
            }
        };
        let asked = documents::AskedRun::try_from(&reply)?;
        let run = &asked.run;
        let (name, why) = (&self.name, run.why.as_deref().unwrap_or_default());
        match self.output.output {
            OutputFormat::Table | OutputFormat::Wide => {}
            OutputFormat::Json => print_json(&Json::of(&asked)?)?,
            OutputFormat::Name | OutputFormat::Csv => {
                crate::output::print(run.sweep.as_deref().unwrap_or_default())?
            }
        }
        let before = if asked.existed { "there was a run for this time: " } else { "" };
        match (run.outcome.as_str(), &run.sweep) {
            ("submitted", Some(sweep)) => say(&format!("schedule {name}: {before}sweep {sweep} is queued")),
            ("waiting", _) => say(&format!("schedule {name}: {before}it waits: {why}")),
            (outcome, _) => return Err(Error::Refused(format!("schedule {name}: {before}{outcome}: {why}"))),
        }
        Ok(())
    }
}
