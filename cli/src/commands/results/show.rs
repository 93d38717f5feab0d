//! `btctl results show`: the provenance of one result.

use bt_model::parameters::read_value;
use serde_json::Value;

use crate::client::Client;
use crate::commands::submit::command_line;
use crate::error::Error;
use crate::output::{Cell, Json, OutputArgs, print_facts, words};
use crate::settings::Settings;
use crate::target::Target;

/// Packages that are shown in a line for people.
const SHOWN: usize = 12;

const EXAMPLES: &str = "\
Examples:
  btctl results show sma-cross/17
  btctl results show sma-cross/17 -o json | jq .software.packages";

/// Show the provenance of a job's published result: image, command, environment, volumes, machine, versions.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Show {
    /// Job; the sweep's first one if only a sweep is given.
    #[arg(value_name = "SWEEP[/JOB]")]
    target: Target,
    #[command(flatten)]
    output: OutputArgs,
}

impl Show {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let record = record(&client, &self.target.sweep, self.target.job.unwrap_or(0)).await?;
        print_facts(facts(&record).into_iter(), &Json::record(&record), self.output.output)
    }
}

/// The record of a job's published result.
pub(crate) async fn record(client: &Client, sweep: &str, job: u32) -> Result<Value, Error> {
    let text = client.result(sweep, job).await?;
    read_value(&text)
        .map_err(|error| Error::Failed(format!("the record of job {job} of {sweep} can't be read: {error}")))
}

fn facts(record: &Value) -> Vec<(String, Cell)> {
    let text = |pointer: &str| record.pointer(pointer).map(words::text).unwrap_or_default();
    let size = |pointer: &str| Cell::bytes(record.pointer(pointer).and_then(Value::as_u64));
    let list = |pointer: &str| record.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    let line = |pointer: &str| command_line(&list(pointer).iter().map(words::text).collect::<Vec<_>>());
    let mut facts = Vec::new();
    let mut add = |name: &str, value: Cell| facts.push((name.to_owned(), value));
    add(
        "job",
        Cell::text(format!(
            "{} ({}), job {}, attempt {}",
            text("/sweep_name"),
            text("/sweep"),
            text("/job"),
            text("/attempt")
        )),
    );
    add("image", Cell::text(text("/image")));
    add("image_pin", Cell::text(text("/image_pin")));
    add("image_id", Cell::text(text("/image_id")));
    add("entrypoint", Cell::text(line("/entrypoint")));
    add("command", Cell::text(line("/command")));
    add("parameters", Cell::text(pairs(&record["parameters"], usize::MAX)));
    add("seed", Cell::text(text("/seed")));
    add("sample_seed", Cell::text(text("/sample_seed")));
    add("env", Cell::text(pairs(&record["env"], usize::MAX)));
    for volume in list("/volumes") {
        add("volume", Cell::text(volume_text(&volume)));
    }
    add("threads", Cell::text(text("/given/threads")));
    add("cpus", Cell::text(text("/given/cpus")));
    add("memory_bytes", size("/given/memory_bytes"));
    add("shm_bytes", size("/given/shm_bytes"));
    add("gpus", Cell::text(Some(text("/given/gpus")).filter(|gpus| gpus != "0").unwrap_or_default()));
    add("timezone", Cell::text(text("/given/timezone")));
    add("user", Cell::text(text("/given/user")));
    add(
        "agent",
        Cell::text(format!(
            "{} ({}), {}/{}",
            text("/machine/name"),
            text("/agent"),
            text("/machine/os"),
            text("/machine/arch")
        )),
    );
    add("engine", Cell::text(text("/versions/engine")));
    add(
        "btctl",
        Cell::text(format!(
            "{} on the agent, {} on the coordinator",
            text("/versions/agent"),
            text("/versions/coordinator")
        )),
    );
    add("python", Cell::text(text("/software/python")));
    add("packages", Cell::text(pairs(&record["software"]["packages"], SHOWN)));
    add("started", Cell::text(text("/started")));
    add("ended", Cell::text(text("/ended")));
    add("published", Cell::text(text("/published")));
    add("metrics", Cell::text(pairs(&record["metrics"], usize::MAX)));
    add("files", Cell::number(list("/files").len()));
    facts
}

/// `a=1, b=2`, and how many more there are.
pub(crate) fn pairs(value: &Value, most: usize) -> String {
    let Some(map) = value.as_object() else { return String::new() };
    let mut shown: Vec<_> =
        map.iter().take(most).map(|(name, value)| format!("{name}={}", words::text(value))).collect();
    if map.len() > most {
        shown.push(format!("... ({} in all; -o json shows them)", map.len()));
    }
    shown.join(", ")
}

fn volume_text(volume: &Value) -> String {
    let mode = if volume["read_only"] == true { ":ro" } else { "" };
    let held = match volume["fingerprint"].as_str() {
        _ if volume["changed"] == true => "it changed while the job ran".to_owned(),
        Some(digits) => format!("fingerprint {digits}"),
        None => "no fingerprint".to_owned(),
    };
    format!("{}:{}{mode}, {held}", words::text(&volume["volume"]), words::text(&volume["target"]))
}
