//! `btctl show`: one sweep, or one job of it, and why it is as it is.

use std::time::Duration;

use bt_documents::{self as documents, ShownJob, ShownSweep, SweepReport};
use bt_model::manifest::mask_address;
use bt_model::state::AttemptState;
use bt_proto::v1;
use jiff::Timestamp;
use serde_json::Value;

use super::jobs;
use super::submit::command_line;
use crate::client::Client;
use crate::error::Error;
use crate::output::{
    Block, Cell, Channel, Column, Json, OutputArgs, OutputFormat, Row, View, print, print_json, reasons,
    spark, terminal, told, tries, words,
};
use crate::reuse;
use crate::settings::Settings;
use crate::target::Target;

/// Show a sweep or a job: its state, why jobs wait, and what failed.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  btctl show sma-cross\n  btctl show sma-cross -w\n  btctl show sma-cross/17\n  btctl show sma-cross -o json"
)]
pub(crate) struct Show {
    /// Sweep or job: NAME, ID or SWEEP/NUMBER.
    #[arg(value_name = "SWEEP[/JOB]")]
    target: Target,
    /// Show it again whenever it changes, until the sweep has finished.
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl Show {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        if self.watch {
            return self.watch(&client).await;
        }
        if let Some(number) = self.target.job {
            return show_job(&client, &self.target.sweep, number, self.output.output).await;
        }
        let shown = client.show(&self.target.sweep).await?;
        match self.output.output {
            OutputFormat::Json => print_json(&Json::of(&ShownSweep::try_from(&shown)?)?),
            OutputFormat::Name => print(words::address(&shown.sweep)),
            OutputFormat::Table | OutputFormat::Wide => {
                print(&sweep_text(&shown, self.output.output == OutputFormat::Wide)?)
            }
            OutputFormat::Csv => {
                let names = ["id", "name", "state", "image"];
                let states = ["queued", "running", "succeeded", "failed", "cancelled", "pruned"];
                let columns = names.iter().chain(&states).map(|name| Column::always(*name)).collect();
                let v1::Counts { queued, running, succeeded, failed, cancelled, pruned } = shown.counts;
                let state = documents::SweepState::from(&shown.sweep).name().to_owned();
                let v1::Sweep { id, name, image, .. } = shown.sweep;
                let mut cells = [&id, &name, &state, &image].map(Cell::text).to_vec();
                cells.extend([queued, running, succeeded, failed, cancelled, pruned].map(Cell::number));
                View { columns, rows: vec![Row { cells, json: Json::none(), name: id }] }
                    .print(OutputFormat::Csv)
            }
        }
    }
}

/// How often a sweep that is watched is looked at.
const LOOK: Duration = Duration::from_secs(1);

impl Show {
    /// Shows the sweep whenever it has changed: on a terminal in the same place, elsewhere one text after the other.
    async fn watch(&self, client: &Client) -> Result<(), Error> {
        let wide = self.output.output == OutputFormat::Wide;
        if self.target.job.is_some()
            || !matches!(self.output.output, OutputFormat::Table | OutputFormat::Wide)
        {
            let told = "--watch shows a sweep as text; scripts wait for one with btctl wait SWEEP";
            return Err(Error::Usage(told.to_owned()));
        }
        // By its id from now on: a newer sweep may take the name meanwhile.
        let id = client.resolve(&self.target.sweep).await?.id;
        let mut block = Block::on(Channel::Stdout);
        let mut last = String::new();
        loop {
            let shown = client.show(&id).await?;
            let text = sweep_text(&shown, wide)?;
            let is_over = shown.counts.queued + shown.counts.running == 0 && !shown.sweep.open;
            match &mut block {
                Some(block) if is_over => {
                    block.clear()?;
                    print(&text)?;
                }
                Some(block) => block.draw_text(&text)?,
                None if text != last => print(&text)?,
                None => {}
            }
            if is_over {
                return Ok(());
            }
            last = text;
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = tokio::signal::ctrl_c() => return Err(Error::Interrupted),
            }
        }
    }
}

async fn show_job(client: &Client, sweep: &str, number: u32, format: OutputFormat) -> Result<(), Error> {
    let request =
        v1::ListJobsRequest { sweep: sweep.to_owned(), job: Some(number), ..v1::ListJobsRequest::default() };
    let job = client.jobs(request).await?.message().await?;
    let job = job.ok_or_else(|| Error::NotFound(format!("sweep {sweep} has no job {number}")))?;
    match format {
        OutputFormat::Name => print(&format!("{sweep}/{number}")),
        OutputFormat::Csv => jobs::view(vec![job], &jobs::List { sweep, by: "" })?.print(format),
        OutputFormat::Json => {
            let history = history(client, sweep, number).await?;
            print_json(&Json::of(&ShownJob { job: documents::Job::try_from(&job)?, history })?)
        }
        OutputFormat::Table | OutputFormat::Wide => {
            let history = history(client, sweep, number).await?;
            let has_metrics = job.progress.as_ref().is_some_and(|said| !said.metrics.is_empty());
            let points = if has_metrics { client.progress(sweep, number).await?.points } else { Vec::new() };
            print(&job_text(job, sweep, &history, &points)?)
        }
    }
}

async fn history(client: &Client, sweep: &str, number: u32) -> Result<Vec<documents::Attempt>, Error> {
    let attempts = client.attempts(sweep, number).await?;
    let history = attempts.iter().map(documents::Attempt::try_from).collect::<Result<_, _>>()?;
    Ok(history)
}

/// Lines of a title and a text.
#[derive(Default)]
struct TitledLines(Vec<String>);

impl TitledLines {
    fn add(&mut self, title: &str, text: impl std::fmt::Display) {
        self.0.push(format!("{title:<9} {text}").trim_end().to_owned());
    }

    fn end(self) -> String {
        self.0.join("\n")
    }
}

/// Reasons and notes that a sweep shows if it is not to show all.
const SHOWN: usize = 10;

fn sweep_text(shown: &SweepReport, all: bool) -> Result<String, Error> {
    let sweep = &shown.sweep;
    let address = words::address(sweep);
    let mut lines = TitledLines::default();
    lines.add("Sweep", format_args!("{} ({})", sweep.name, sweep.id));
    if !sweep.tags.is_empty() {
        lines.add("Tags", sweep.tags.join(", "));
    }
    if !sweep.note.is_empty() {
        lines.add("Note", &sweep.note);
    }
    lines.add("State", documents::SweepState::from(sweep).name());
    let pin = match &sweep.image_pin {
        None => String::new(),
        Some(pin) => format!(" (pinned to {pin})"),
    };
    lines.add("Image", format_args!("{}{pin}", sweep.image));
    if let Some(alias) = &sweep.image_alias {
        lines.add("Alias", format_args!("{alias}, as it was at the submit"));
    }
    lines.add("Owner", format_args!("{}, priority {}", sweep.owner, sweep.priority));
    documents::HeldOut::from(sweep).words().iter().for_each(|data| lines.add("Data", data));
    let v1::Counts { queued, running, succeeded, failed, cancelled, pruned } = shown.counts;
    let counts = [(queued, "queued"), (running, "running"), (succeeded, "succeeded")];
    let ends = [(failed, "failed"), (cancelled, "cancelled"), (pruned, "pruned")];
    let counts = counts.iter().chain(&ends).filter(|(count, _)| *count > 0);
    let counts: Vec<_> = counts.map(|(count, word)| format!("{count} {word}")).collect();
    lines.add("Jobs", format_args!("{}: {}", words::total(&shown.counts), counts.join(", ")));
    if let Some(reuse) = &shown.reuse {
        lines.add("Reuse", reuse::words(reuse, words::total(&shown.counts)));
    }
    if let Some(sharing) = &sweep.sharing {
        shared_lines(sharing, &mut lines);
    }
    let took = words::between(sweep.created.as_ref(), sweep.finished.as_ref())?;
    let time = match sweep.finished {
        Some(_) => format!("took {took}"),
        None => format!("queued {took} ago"),
    };
    lines.add("Time", time);
    if let Some(canary) = sweep.canary {
        let became = if canary.passed { "have succeeded" } else { "must succeed before the others start" };
        lines.add("Canary", format_args!("the first {} jobs {became}", canary.jobs));
    }
    if !sweep.waits_for.is_empty() {
        lines.add("After", format_args!("{} must end before it starts", sweep.waits_for.join(", ")));
    }
    if let Some(why) = &sweep.cancel_reason {
        lines.add("Cancelled", why);
    }
    if sweep.paused {
        let why = sweep.pause_reason.as_deref().unwrap_or("as asked");
        lines.add("Paused", format_args!("{why}; btctl resume {address} starts it again"));
    }
    if let Some(pace) = shown.pace {
        lines.add("Pace", words::pace(&pace, &shown.counts));
    }
    let until = match words::time(sweep.kept_until.as_ref())? {
        Value::Null => String::new(),
        time => format!("; kept until {}", words::text(&time)),
    };
    match sweep.expired {
        true => {
            lines.add("Results", "expired, as the manifest's `keep` says; parameters and metrics are kept")
        }
        false => lines.add(
            "Results",
            format_args!("{} in the store; btctl results get {address} -d DIR{until}", shown.store),
        ),
    }
    told_lines(shown, &mut lines)?;
    let limit = if all { usize::MAX } else { SHOWN };
    let (reasons, more) = reasons::first(reasons::lines(&shown.waiting), limit);
    reasons.iter().for_each(|reason| lines.add("Waiting", reason));
    if more > 0 {
        lines.add("", format_args!("and {more} more reasons; -o wide shows all"));
    }
    let noted = shown.progressing.iter().filter(|attempt| !attempt.note.is_empty());
    for attempt in noted.take(limit) {
        lines.add("Job", format_args!("{} on agent {}: {}", attempt.job, attempt.agent, attempt.note));
    }
    if let (Some(line), [first, ..]) = (tries::line(&shown.retrying)?, &shown.retrying[..]) {
        lines.add("Retrying", format_args!("{line}; see btctl explain {address}/{}", first.first_job));
    }
    for failures in shown.failures.iter().take(limit) {
        let reason = words::reason(failures.reason.clone())?.unwrap_or_default();
        let jobs = if failures.jobs == 1 { "job" } else { "jobs" };
        lines.add(
            "Failed",
            format_args!(
                "{} {jobs}: {reason}; see btctl logs {address}/{}",
                failures.jobs, failures.first_job
            ),
        );
    }
    Ok(lines.end())
}

/// Who was told of it, and who is not yet.
fn told_lines(shown: &SweepReport, lines: &mut TitledLines) -> Result<(), Error> {
    for one in &shown.told {
        lines.add("Notify", format_args!("{}", told(one)?));
    }
    if shown.told.is_empty() {
        let manifest: Value = serde_json::from_str(&shown.manifest).unwrap_or_default();
        let receivers = manifest["notify"].as_array().into_iter().flatten().filter_map(Value::as_str);
        receivers.for_each(|receiver| {
            lines.add("Notify", format_args!("{}, when it has finished", mask_address(receiver)))
        });
    }
    Ok(())
}

/// What agents have found of `containers: warm`.
fn shared_lines(sharing: &v1::Sharing, lines: &mut TitledLines) {
    if !sharing.containers_text.is_empty() {
        lines.add(
            "Warm",
            format_args!("no: jobs run as with `containers: {}`: {}", sharing.containers_text, sharing.why),
        );
    }
    let mut left_out: Vec<_> = sharing.left_out.iter().collect();
    left_out.sort_unstable();
    for (module, why) in left_out {
        lines.add("Warm", format_args!("each job imports {module} itself: {why}"));
    }
}

fn job_text(
    job: v1::Job,
    sweep: &str,
    history: &[documents::Attempt],
    points: &[v1::ProgressPoint],
) -> Result<String, Error> {
    let document = documents::Job::try_from(&job)?;
    let mut lines = TitledLines::default();
    lines.add("Job", format_args!("{sweep}/{}", job.number));
    lines.add("State", document.state);
    if let Some(reason) = &document.reason {
        lines.add("Reason", reason);
    }
    if let Some(failure) = job.last_failure.as_ref().filter(|_| job.state() == v1::JobState::Queued) {
        lines.add("Retrying", tries::again(failure)?);
    }
    lines.add("Params", Value::Object(document.params));
    lines.add("Command", command_line(&job.command));
    if job.metrics.is_some() {
        lines.add("Metrics", Value::Object(document.metrics));
    }
    let returned =
        |attempt: &&documents::Attempt| attempt.state == AttemptState::Returned && attempt.started.is_none();
    if let Some(said) = &document.progress {
        progress_lines(said, points, &mut lines);
    }
    match history.iter().filter(returned).count() {
        0 => lines.add("Attempts", job.attempts),
        returned => lines.add("Attempts", format_args!("{}, and {returned} handed back", job.attempts)),
    }
    history.iter().for_each(|attempt| lines.add("", attempt_text(attempt)));
    if let Some(twin) = &job.reused_from {
        lines.add("Result", format_args!("of {}/{} (sweep {})", twin.sweep_name, twin.job, twin.sweep));
    }
    if let Some(twin) = &job.attached_to {
        lines.add("Waits", format_args!("for {}/{} (sweep {})", twin.sweep_name, twin.job, twin.sweep));
    }
    if !job.agent.is_empty() {
        lines.add("Agent", &job.agent);
    }
    if job.started.is_some() {
        lines.add("Ran", words::between(job.started.as_ref(), job.finished.as_ref())?);
    }
    if !job.note.is_empty() {
        lines.add("Note", &job.note);
    }
    Ok(lines.end())
}

/// How far a running job says it is, `42 % (42 of 100), 3s ago: 2012-03`, and what its metrics did on the way.
fn progress_lines(said: &documents::Progress, points: &[v1::ProgressPoint], lines: &mut TitledLines) {
    let heard = said.at.map(|at| format!("{} ago", Cell::Ago(at).people()));
    let words: Vec<_> = said.amount().into_iter().chain(heard).collect();
    let note = said.note.as_ref().map(|note| format!(": {}", terminal::visible(note).replace('\n', " ")));
    lines.add("Progress", format_args!("{}{}", words.join(", "), note.unwrap_or_default()));
    for (number, (name, value)) in said.metrics.iter().enumerate() {
        let values: Vec<_> = points.iter().filter_map(|point| point.metrics.get(name).copied()).collect();
        let title = if number == 0 { "So far" } else { "" };
        lines.add(title, format_args!("{} {value} {}", terminal::visible(name), spark::line(&values)));
    }
}

/// `2 failed on agent node7, 2026-01-02T03:04:05Z, ran 1m 2s: exit(1)`
fn attempt_text(attempt: &documents::Attempt) -> String {
    let did = match attempt.state {
        AttemptState::Returned => "handed back by",
        AttemptState::Lost => "lost with",
        _ => "",
    };
    let mut text = match did {
        "" => format!("{} {} on agent {}", attempt.attempt, attempt.state, attempt.agent),
        did => format!("{} {did} agent {}", attempt.attempt, attempt.agent),
    };
    if let Some(bytes) = attempt.memory_bytes {
        text += &format!(", {} of memory", words::size(bytes));
    }
    if let Some(time) = attempt.started.or(attempt.leased) {
        text += &format!(", {}", Cell::Time(time).people());
    }
    if let Some(started) = attempt.started {
        let until = attempt.ended.unwrap_or_else(Timestamp::now);
        text += &format!(", ran {}", Cell::Seconds(until.duration_since(started).as_secs_f64()).people());
    }
    match attempt.reason.as_ref().or(attempt.note.as_ref()) {
        Some(why) => text + ": " + why,
        None => text,
    }
}
