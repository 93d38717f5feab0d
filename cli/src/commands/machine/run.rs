//! `btctl run --local`: one job on this machine, before a whole sweep is queued.

use std::io::stderr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bt_agent::{LocalEvent, LocalJob};
use bt_documents::{LocalOutput, LocalRun};
use bt_model::alias;
use bt_model::log::Stream;
use bt_model::manifest::HostPort;
use serde_json::Value;

use crate::commands::submit::ManifestArgs;
use crate::error::Error;
use crate::files;
use crate::output::{
    self, Cell, Column, Json, Out, OutputArgs, OutputFormat, Row, View, say, terminal, words,
};

/// Outputs that are shown as they are, if they are small.
const SHOWN: [&str; 2] = ["metrics.json", "algo_output.json"];
const LARGEST_SHOWN: u64 = 64 << 10;

const EXAMPLES: &str = "\
Examples:
  btctl run --local -f sweep.yaml --job 17 --offer prices=/srv/prices:ro
  btctl run --local manifest.json --input sample/";

/// Run one job of a manifest on this machine, in a container as an agent would make it, without a coordinator, and show
/// its outputs.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct Run {
    /// Run here instead of on an agent; required, since `run` can't do anything else yet.
    #[arg(long, required = true)]
    local: bool,
    /// Manifest, as with -f.
    #[arg(value_name = "MANIFEST", conflicts_with = "file")]
    manifest: Option<String>,
    #[command(flatten)]
    sweep: ManifestArgs,
    /// Number of the job.
    #[arg(long, default_value_t = 0, value_name = "N")]
    job: u32,
    /// Directory that the job reads as its input data.
    #[arg(long, value_name = "DIR", value_parser = files::directory)]
    input: Option<PathBuf>,
    /// Path of one of the manifest's volumes on this machine; may be repeated.
    #[arg(long, value_name = "NAME=SOURCE[:ro]")]
    offer: Vec<String>,
    /// File on this machine with the value of one of the manifest's secrets; may be repeated.
    #[arg(long, value_name = "NAME=FILE")]
    secret_file: Vec<String>,
    /// Address that the job reaches if its manifest names it, e.g. 127.0.0.1:4001; may be repeated.
    #[arg(long, value_name = "HOST:PORT")]
    allow_address: Vec<HostPort>,
    /// Directory to keep the outputs in; shown and thrown away if not given.
    #[arg(short, long, value_name = "DIR", value_parser = files::directory)]
    directory: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Run {
    pub(crate) async fn run(mut self) -> Result<(), Error> {
        if let Some(manifest) = self.manifest.take() {
            self.sweep.file = Some(manifest);
        }
        let mut draft = self.sweep.draft()?;
        let mut options = bt_agent::Options::unset();
        options.volumes.extend(self.offer.iter().cloned());
        options.secrets.extend(self.secret_file.iter().cloned());
        options.allow_addresses.extend(self.allow_address.iter().cloned());
        // Who runs it here has these rights already.
        options.allow_network = true;
        let unread = draft.unread_axes();
        let mounted = draft.volumes.iter().map(|mount| &mount.volume);
        let named = mounted.chain(unread.iter().map(|(_, from)| &from.volume));
        options.host_paths.extend(named.filter(|volume| volume.starts_with('/')).cloned());
        for (name, from) in unread {
            let found = bt_agent::volume_files(&options, &from).map_err(|error| {
                Error::Failed(format!("the axis {name} can't be read: {error:#}; --offer says what is here"))
            })?;
            draft.fill_axis(&name, found)?;
        }
        let manifest = draft.finish()?;
        if let Some(alias) = alias::name_of(&manifest.image) {
            return Err(Error::Usage(format!(
                "{} is known to a coordinator alone; give the image that it stands for, which `btctl image history {alias}` shows: \
                 --image NAME",
                manifest.image
            )));
        }
        let jobs = manifest.expand()?;
        let parameters = jobs.iter().nth(self.job as usize).ok_or_else(|| {
            Error::NotFound(format!(
                "there is no job {}; the manifest's are 0 to {}",
                self.job,
                jobs.len() - 1
            ))
        })?;
        drop(jobs);
        let scratch =
            tempfile::tempdir().map_err(|error| Error::Failed(format!("make a directory: {error}")))?;
        let out = self.directory.clone().unwrap_or_else(|| scratch.path().to_owned());
        std::fs::create_dir_all(&out)
            .map_err(|error| Error::Failed(format!("{} can't be made: {error}", out.display())))?;
        let job = LocalJob { manifest, number: self.job, parameters, input: self.input.clone() };
        let began = Instant::now();
        let interrupted = async {
            // Where Ctrl-C can't be heard, the job runs to its end.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let format = self.output.output;
        let tell = |event: LocalEvent| match event {
            LocalEvent::Note(note) => say(&note),
            LocalEvent::Line(line) => {
                // A document has standard output for itself.
                if line.stream == Stream::Stdout && format.is_for_people() {
                    let mut out = Out::stdout();
                    // The job goes on when its reader has left.
                    drop(out.put_from_job(&line.text).and_then(|()| out.finish()));
                } else {
                    terminal::write(&mut stderr().lock(), &line.text, terminal::is_stderr()).ok();
                }
            }
        };
        let ended = bt_agent::run_local(&options, job, &out, interrupted, tell).await?;
        let took = began.elapsed();
        for skipped in &ended.skipped {
            say(skipped);
        }
        let reason = ended.reason.as_ref().map(ToString::to_string);
        if format == OutputFormat::Json {
            let outputs = ended.outputs.iter();
            let outputs = outputs.map(|(path, size)| LocalOutput { path: path.clone(), size: *size });
            output::print_json(&Json::of(&LocalRun {
                job: self.job,
                state: if reason.is_none() { "succeeded" } else { "failed" },
                reason: reason.clone(),
                outputs: outputs.collect(),
                metrics: metrics(&out),
                peak_memory_bytes: ended.peak_memory_bytes,
                cpu_seconds: ended.cpu_micros.map(|micros| micros as f64 / 1e6),
                image_id: ended.image_id.clone(),
            })?)?;
        } else {
            show(&out, &ended.outputs, format)?;
        }
        let memory = ended.peak_memory_bytes.map(|bytes| format!(", {} of memory", words::size(bytes)));
        let memory = memory.unwrap_or_default();
        match reason {
            None => {
                say(&format!("job {} succeeded after {}{memory}", self.job, words::span(took)));
                Ok(())
            }
            Some(reason) => Err(Error::JobFailed(format!(
                "job {} failed after {}{memory}: {reason}",
                self.job,
                words::span(took)
            ))),
        }
    }
}

fn metrics(out: &Path) -> Value {
    let text = std::fs::read(out.join("metrics.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or(Value::Null)
}

/// Lists the outputs, and prints those that say how it went.
fn show(out: &Path, outputs: &[(String, u64)], format: OutputFormat) -> Result<(), Error> {
    if !format.is_for_people() {
        let row = |(path, size): &(String, u64)| Row {
            cells: vec![Cell::text(path), Cell::Bytes(*size)],
            json: Json::none(),
            name: path.clone(),
        };
        let columns = ["path", "size"].map(Column::always).into();
        return View { columns, rows: outputs.iter().map(row).collect() }.print(format);
    }
    for (path, size) in outputs {
        say(&format!("{path}  {}", words::size(*size)));
    }
    for (path, _) in
        outputs.iter().filter(|(path, size)| SHOWN.contains(&path.as_str()) && *size <= LARGEST_SHOWN)
    {
        let text =
            std::fs::read(out.join(path)).map_err(|error| Error::Failed(format!("{path}: {error}")))?;
        let mut out = Out::stdout();
        out.put_from_job(&text)?;
        if !text.ends_with(b"\n") {
            out.put("\n")?;
        }
        out.finish()?;
    }
    Ok(())
}
