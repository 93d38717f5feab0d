//! `btctl submit`: from a manifest and flags to a queued sweep.

mod dev_mount;
mod env_file;
mod estimate;
mod flags;
mod like;
mod suggest;
mod values;

use std::path::Path;

use bt_documents::{HeldOut, PlannedJob, Submitted};
use bt_model::alias;
use bt_model::expansion::Expansion;
use bt_model::image::is_fixed;
use bt_model::manifest::{Draft, Format, JobSource, Manifest, csv_rows};
use bt_model::template::Rendered;
pub(crate) use bt_proto::submit::messages;
use bt_proto::v1;
#[cfg(target_os = "linux")]
use bt_store::overlay::PackedDir;
use uuid::Uuid;

use self::flags::ManifestFlags;
pub(crate) use self::values::volume;
use super::describe::{note, tag};
use crate::client::Client;
use crate::error::Error;
use crate::files;
use crate::output::{
    self, Cell, Channel, Column, Form, Json, ListArgs, OutputFormat, Printer, Row, Ticker, View,
};
use crate::progress;
use crate::reuse;
use crate::settings::Settings;

/// Jobs that a dry run shows in a table for people.
const SHOWN_JOBS: usize = 50;

const EXAMPLES: &str = "\
Examples:
  btctl submit -f sweep.yaml --wait
  btctl submit -f sweep.yaml --dry-run -o json
  btctl submit -f sweep.yaml --reuse --wait
  btctl submit --image sma-cross:1 --matrix fast=5,10,20 --matrix slow=20:200:20 --where 'fast < slow' \\
      -v prices:/data:ro --cpus 1 -m 1g -- python /app/backtest.py --fast '{{ fast }}' --slow '{{ slow }}'";

/// Queue a sweep of backtests.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct Submit {
    #[command(flatten)]
    sweep: ManifestArgs,
    /// Print the jobs, and queue nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print how long the jobs would take on the agents that there are, and what they would cost, and queue nothing: by the
    /// newest sweep of the same family that has jobs that succeeded, and the agents' label price-per-hour.
    #[arg(long, conflicts_with_all = ["dry_run", "wait", "open", "suggest_resources"])]
    estimate: bool,
    /// Show progress until all jobs have finished; exit with 1 if one did not succeed.
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// Key that makes the submit safe to repeat: one key makes one sweep only. A new one for each call if not given.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Queue the jobs of an earlier sweep again, with exactly the image that it ran.
    #[arg(long, value_name = "SWEEP", conflicts_with = "file")]
    like: Option<String>,
    /// Take the results of identical jobs (same image, command, env, parameters, volumes) instead of running them
    /// again, and wait for identical jobs that are queued or running. Failures are never taken.
    #[arg(long, conflicts_with = "dry_run")]
    reuse: bool,
    /// Keep the sweep open for more jobs (btctl add) until it is closed (btctl close). Without a matrix or parameters it
    /// begins without any.
    #[arg(long, conflicts_with_all = ["dry_run", "reuse", "sample"])]
    open: bool,
    /// Run the jobs on all data, also on what the holdout of their family keeps from jobs, and say why. It spends one of
    /// the family's looks (btctl trials FAMILY lists them).
    #[arg(long, value_name = "WHY", conflicts_with_all = ["dry_run", "open"])]
    look: Option<String>,
    /// Tag to find the sweep by (btctl ls --tag); may be repeated.
    #[arg(long, value_name = "TAG", value_parser = tag)]
    tag: Vec<String>,
    /// Note on the sweep, for people.
    #[arg(long, value_name = "TEXT", value_parser = note, default_value = "", hide_default_value = true)]
    note: String,
    /// Queue nothing: print the resources that an earlier sweep's jobs needed, from what they used.
    #[arg(long, value_name = "SWEEP", conflicts_with_all = ["dry_run", "wait", "file", "reuse"])]
    suggest_resources: Option<String>,
    #[command(flatten)]
    output: ListArgs,
}

/// A manifest, as a file, as flags, or both.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ManifestArgs {
    /// Manifest in YAML, TOML or JSON; - reads standard input. Flags win over it.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<String>,
    #[command(flatten)]
    flags: ManifestFlags,
}

impl ManifestArgs {
    /// The manifest, with what it wants to know of volumes asked of the cluster's agents.
    pub(crate) async fn manifest(&self, settings: &Settings) -> Result<Manifest, Error> {
        let mut draft = self.draft()?;
        read_axes(&mut draft, settings).await?;
        Ok(draft.finish()?)
    }

    /// Brings what the dev mounts of its flags hold into the store.
    pub(crate) async fn ship(&self, client: &Client, manifest: &Manifest) -> Result<(), Error> {
        dev_mount::ship(&self.flags.dev_mount, client, manifest).await
    }

    /// The directories of its flags, packed, and where a job finds each.
    #[cfg(target_os = "linux")]
    pub(crate) fn dev_mounts(&self) -> Result<Vec<(String, PackedDir)>, Error> {
        dev_mount::packed(&self.flags.dev_mount)
    }

    /// All that file and flags say, the rows of `params_from` among it.
    pub(crate) fn draft(&self) -> Result<Draft, Error> {
        let draft = match &self.file {
            Some(path) => read_manifest(path)?,
            None => Draft::default(),
        };
        let draft = draft.merge(self.flags.draft()?);
        if self.file.is_none() && draft.image.is_none() && draft.sandbox.driver.is_none() {
            return Err(Error::Usage(
                "nothing to run: give a manifest with -f FILE, or an image with --image".to_owned(),
            ));
        }
        with_rows(draft, self.file.as_deref())
    }
}

impl Submit {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        if let Some(sweep) = &self.suggest_resources {
            return suggest::suggest(settings, sweep, self.output.format()).await;
        }
        let (mut manifest, image_pin) = match &self.like {
            Some(_) if self.sweep.flags.draft()? != Draft::default() => {
                return Err(Error::Usage(
                    "--like takes a sweep as it was; leave out what would change it, or write a manifest"
                        .to_owned(),
                ));
            }
            Some(sweep) => like::manifest_of(&Client::connect(settings).await?, sweep).await?,
            None => (self.sweep.manifest(settings).await?, None),
        };
        if image_pin.is_none() && !manifest.is_process() {
            warn_of_tag(&manifest.image);
        }
        if manifest.policy.notify.is_none() {
            manifest.policy.notify = Some(settings.receivers()?);
        }
        if self.look.is_none() {
            manifest.admit_holdout()?;
        }
        let checking = Ticker::start("checking the jobs".to_owned());
        // An open sweep may begin without jobs.
        let begins_empty = self.open && manifest.jobs == JobSource::One;
        let jobs = if begins_empty { None } else { Some(manifest.expand()?) };
        drop(checking);
        manifest.remarks().iter().for_each(|note| output::say(note));
        if let (true, Some(jobs)) = (self.dry_run, &jobs) {
            return dry_run(&manifest, jobs, &self.output);
        }
        let client = Client::connect(settings).await?;
        self.sweep.ship(&client, &manifest).await?;
        let header = v1::SubmitHeader {
            idempotency_key: self.idempotency_key.clone().unwrap_or_else(|| Uuid::new_v4().to_string()),
            owner: settings.asked_owner(),
            reuse: self.reuse,
            open: self.open,
            look: self.look.clone(),
            image_pin,
            tags: self.tag.clone(),
            note: self.note.clone(),
            ..v1::SubmitHeader::default()
        };
        if self.estimate {
            return estimate::tell(&client, messages(&manifest, header), self.output.format()).await;
        }
        let queueing = Ticker::start(format!("queueing {} jobs", jobs.map_or(0, |jobs| jobs.len())));
        let submitted = client.submit(messages(&manifest, header)).await?;
        drop(queueing);
        if self.wait {
            tell(&submitted);
            if self.reuse {
                reuse::tell(&client, &submitted).await;
            }
            let waited = progress::watch(&client, &submitted.id, &submitted.name, Channel::Stderr).await;
            if self.output.format() != OutputFormat::Table {
                self.print(&client, &submitted).await?;
            }
            return waited;
        }
        match self.output.format() {
            OutputFormat::Table | OutputFormat::Wide => {
                tell(&submitted);
                if self.reuse {
                    reuse::tell(&client, &submitted).await;
                }
                // One that was queued before may not be the newest of its name.
                let address = if submitted.existed { &submitted.id } else { &submitted.name };
                output::say(&format!(
                    "btctl watch {address} shows its progress, btctl results get {address} -d DIR fetches its results"
                ));
                if self.open {
                    output::say(&format!(
                        "btctl add {address} adds jobs, btctl close {address} lets it end with those that it has"
                    ));
                }
                Ok(())
            }
            _ => self.print(&client, &submitted).await,
        }
    }

    async fn print(&self, client: &Client, submitted: &v1::SubmitReply) -> Result<(), Error> {
        let reuse = match self.reuse && self.output.format() == OutputFormat::Json {
            true => reuse::known(client, &submitted.id).await,
            false => None,
        };
        print(submitted, reuse.as_ref(), &self.output)
    }
}

/// The manifest of a file, for another image than it names.
pub(crate) async fn manifest_for_image(
    settings: &Settings,
    path: &str,
    image: &str,
) -> Result<Manifest, Error> {
    let mut draft = with_rows(read_manifest(path)?, Some(path))?;
    draft.image = Some(image.to_owned());
    read_axes(&mut draft, settings).await?;
    Ok(draft.finish()?)
}

/// Asks the cluster's agents for axes that come from volumes.
async fn read_axes(draft: &mut Draft, settings: &Settings) -> Result<(), Error> {
    let unread = draft.unread_axes();
    if unread.is_empty() {
        return Ok(());
    }
    let client = Client::connect(settings).await?;
    for (name, from) in unread {
        let found = client.volume_files(&from).await?;
        output::say(&format!(
            "{name}: {} files of the volume {}, as agent {} holds it",
            found.paths.len(),
            from.volume,
            found.agent
        ));
        draft.fill_axis(&name, found.paths)?;
    }
    Ok(())
}

/// A tag that moves runs whatever it means when the first job starts; an alias means one image when the sweep is queued.
fn warn_of_tag(image: &str) {
    if alias::name_of(image).is_none() && !is_fixed(image) {
        output::say(&format!(
            "warning: {image} names no version; the sweep runs what it means when its first job starts. A tag such as \
             {}:1.0 says more",
            image.trim_end_matches(":latest")
        ));
    }
}

pub(crate) fn tell(submitted: &v1::SubmitReply) {
    let count = match submitted.jobs {
        1 => "1 job".to_owned(),
        jobs => format!("{jobs} jobs"),
    };
    let queued = match submitted.existed {
        true => "queued before, with the same idempotency key",
        false => "queued",
    };
    output::say(&format!("sweep {} ({}): {count} {queued}", submitted.name, submitted.id));
    if let Some(data) = HeldOut::new(submitted.cut_before.clone(), submitted.look).words() {
        output::say(&format!("its jobs see {data}"));
    }
}

/// Prints what a script wants to know; people have read it already.
pub(crate) fn print_unless_told(submitted: &v1::SubmitReply, format: OutputFormat) -> Result<(), Error> {
    match format {
        OutputFormat::Table | OutputFormat::Wide => Ok(()),
        format => print(submitted, None, format),
    }
}

fn print(submitted: &v1::SubmitReply, reuse: Option<&v1::Reuse>, form: impl Into<Form>) -> Result<(), Error> {
    let form = form.into();
    let v1::SubmitReply { id, name, jobs, existed, cut_before, look } = submitted;
    match form.format() {
        OutputFormat::Json => {
            let (id, name, jobs, existed) = (id.clone(), name.clone(), *jobs, *existed);
            let held_out = HeldOut::new(cut_before.clone(), *look);
            let reuse = reuse.map(bt_documents::Reuse::from);
            output::print_json(&Json::of(&Submitted { id, name, jobs, existed, held_out, reuse })?)
        }
        OutputFormat::Name => output::print(id),
        OutputFormat::Table | OutputFormat::Wide | OutputFormat::Csv => {
            let columns = ["id", "name", "jobs"].map(Column::always).into();
            let cells = vec![Cell::text(id), Cell::text(name), Cell::number(jobs)];
            View { columns, rows: vec![Row { cells, json: Json::none(), name: id.clone() }] }.print(form)
        }
    }
}

fn read_manifest(path: &str) -> Result<Draft, Error> {
    let file = Path::new(path);
    Ok(Manifest::parse(&files::read(file)?, Format::of_path(path), &files::called(file))?)
}

/// Reads the rows that the draft names. A file that a manifest names lies beside the manifest.
fn with_rows(mut draft: Draft, manifest: Option<&str>) -> Result<Draft, Error> {
    if let Some(named) = draft.params_from.take() {
        let from_flag = draft.places.of("params_from").is_none();
        let base =
            manifest.filter(|path| !from_flag && *path != "-").and_then(|path| Path::new(path).parent());
        let path = base.map_or_else(|| named.clone().into(), |base| base.join(&named));
        if files::is_standard(&path) && manifest == Some(files::STANDARD) {
            return Err(Error::Usage(
                "the manifest and its parameters can't both come from standard input; give one of them as a file"
                    .to_owned(),
            ));
        }
        let rows = csv_rows(&files::read(&path)?, &files::called(&path))?;
        if draft.matrix.is_some() || draft.params.is_some() {
            let other = if draft.matrix.is_some() { "matrix" } else { "params" };
            return Err(Error::Usage(format!(
                "both `{other}` and `params_from` are given; the jobs come from one of matrix, params, params_from"
            )));
        }
        draft.params = Some(rows);
    }
    Ok(draft)
}

/// Prints the jobs one by one, so that a large sweep needs no more memory than a small one.
fn dry_run(manifest: &Manifest, jobs: &Expansion<'_>, form: &ListArgs) -> Result<(), Error> {
    let renderer = manifest.renderer()?;
    let all = jobs.len() as usize;
    let shown = if form.format() == OutputFormat::Table { SHOWN_JOBS.min(all) } else { all };
    let is_list = !matches!(form.format(), OutputFormat::Json | OutputFormat::Name);
    let names = if is_list { parameter_names(jobs, shown) } else { Vec::new() };
    let mut printer = Printer::new(columns(&names), form)?;
    for (job, parameters) in jobs.iter().enumerate().take(shown) {
        let test = jobs.test(job as u32);
        // What a test will have is not known yet.
        let rendered = match test {
            Some(_) => Rendered::default(),
            None => renderer.render(&parameters)?,
        };
        let mut cells = Vec::new();
        if is_list {
            cells.push(Cell::number(job));
            cells.extend(names.iter().map(|name| parameters.get(name).map(Cell::from).unwrap_or_default()));
            cells.push(Cell::text(match test {
                Some(test) => format!("(the best of jobs {} to {})", test.first, test.last),
                None => command_line(&rendered.command),
            }));
        }
        let json = match form.format() {
            OutputFormat::Json => Json::of(&PlannedJob {
                job: job as u32,
                params: parameters.as_map().clone(),
                waits_for: test.map(|test| test.window),
                command: &rendered.command,
                env: rendered.env.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect(),
            })?,
            _ => Json::none(),
        };
        printer.row(Row { cells, json, name: format!("{}/{job}", manifest.name) })?;
    }
    printer.finish()?;
    if shown < all {
        output::say(&format!("... and {} more; -o wide, csv or json shows all", all - shown));
    }
    if is_list {
        output::say(&format!("{all} jobs; nothing is queued (--dry-run)"));
    }
    Ok(())
}

/// The names of the parameters in the order in which the first jobs have them.
fn parameter_names(jobs: &Expansion<'_>, shown: usize) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for parameters in jobs.iter().take(shown) {
        if parameters.names().eq(names.iter().map(String::as_str)) {
            continue;
        }
        for name in parameters.names() {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
    }
    names
}

/// The job first, then its command, where a table has no room for all parameters.
fn columns(names: &[String]) -> Vec<Column> {
    let mut columns = vec![Column::always("job").rank(0)];
    let title = |name: &String| match ["job", "command"].contains(&name.as_str()) {
        true => format!("param.{name}"),
        false => name.clone(),
    };
    let parameter = |name: &String| Column::always(title(name)).alias(format!("params.{name}"));
    columns.extend(names.iter().map(|name| parameter(name).folds().rank(1)));
    columns.push(Column::always("command").rank(2));
    columns
}

/// A command as a line that a shell would take.
pub(crate) fn command_line(command: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./:,@%^".contains(c);
    let quoted = command.iter().map(|word| match !word.is_empty() && word.chars().all(plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_pasted() {
        let line = command_line(&["sh", "-c", "echo 'a b'", ""].map(str::to_owned));
        assert_eq!(line, r"sh -c 'echo '\''a b'\''' ''");
    }
}
