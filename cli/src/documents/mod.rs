//! Every JSON document that a command prints, as a type. The types are the one source: the commands print them, and the
//! schemas in docs/schemas are derived from them. A command can't print JSON that has no type here.
//!
//! What docs/OUTPUT.md promises holds for each of them: keys are added, never removed or renamed; a value keeps its type
//! and its unit.

mod machines;
mod queue;
mod results;
mod sweeps;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::Error;

pub(crate) use machines::*;
pub(crate) use queue::*;
pub(crate) use results::*;
pub(crate) use sweeps::*;

/// A document of a command, ready to be printed: its text, so that numbers keep the spelling that users gave them.
#[derive(Clone, Debug)]
pub(crate) struct Json(String);

impl Json {
    pub(crate) fn of(document: &(impl Serialize + JsonSchema)) -> Result<Self, Error> {
        let text = serde_json::to_string(document);
        text.map(Self).map_err(|error| Error::Failed(format!("the JSON can't be written: {error}")))
    }

    /// Of a thing that is printed in other forms only.
    pub(crate) fn none() -> Self {
        Self(String::new())
    }

    /// The record of a result, a [`bt_store::ResultDocument`] that the coordinator wrote.
    pub(crate) fn record(record: &Value) -> Self {
        Self(record.to_string())
    }

    /// In one line.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

/// Names with values of any type, such as parameters.
pub(crate) type Object = Map<String, Value>;

/// The schema of what one or several commands print with `-o json`.
pub(crate) struct SchemaOfCommand {
    /// The file's name in docs/schemas, without `.json`.
    pub(crate) name: &'static str,
    /// The commands, without `btctl` and their arguments.
    pub(crate) commands: &'static [&'static str],
    /// Which of the commands' documents it is, where they have several.
    pub(crate) when: &'static str,
    pub(crate) schema: Schema,
}

fn one<T: JsonSchema>(
    name: &'static str,
    commands: &'static [&'static str],
    when: &'static str,
) -> SchemaOfCommand {
    let generator: SchemaGenerator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    SchemaOfCommand { name, commands, when, schema: generator.into_root_schema_for::<T>() }
}

/// The schemas of all documents.
pub(crate) fn described() -> Vec<SchemaOfCommand> {
    vec![
        one::<Submitted>("submit", &["submit", "rerun"], "of what is queued"),
        one::<Vec<PlannedJob>>("submit-dry-run", &["submit"], "with --dry-run"),
        one::<SuggestedResources>("submit-suggest-resources", &["submit"], "with --suggest-resources"),
        one::<Vec<Sweep>>("ls", &["ls"], ""),
        one::<ShownSweep>("show", &["show"], "of a sweep"),
        one::<ShownJob>("show-job", &["show"], "of a job"),
        one::<Vec<Job>>("jobs", &["jobs", "top"], ""),
        one::<Vec<RunningJob>>("ps", &["ps"], ""),
        one::<Explained>("explain", &["explain"], ""),
        one::<Comparison>("compare", &["compare"], ""),
        one::<Vec<ExportedJob>>("export", &["export"], ""),
        one::<ImportedMetrics>("metrics-import", &["metrics import"], ""),
        one::<LocalRun>("run", &["run"], ""),
        one::<Vec<RerunFinding>>("rerun-verify", &["rerun"], "with --verify"),
        one::<Vec<Output>>("results-ls", &["results ls"], ""),
        one::<bt_store::ResultDocument>("results-show", &["results show"], ""),
        one::<Vec<Damage>>("results-verify", &["results verify"], ""),
        one::<Vec<Garbage>>("gc", &["gc"], ""),
        one::<Vec<Agent>>("agents-ls", &["agents ls"], ""),
        one::<ShownAgent>("agents-show", &["agents show"], ""),
        one::<Vec<Limit>>("limits-ls", &["limits ls"], ""),
        one::<Vec<Image>>("image-ls", &["image ls"], ""),
        one::<InspectedImage>("image-inspect", &["image inspect"], ""),
        one::<Vec<Setting>>("config-show", &["config show"], ""),
        one::<Machine>("doctor", &["doctor"], ""),
    ]
}
