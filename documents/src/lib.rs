//! Every JSON document that a command prints or the HTTP API answers with, as a type. The types are the one source: both
//! are made from the same messages by the same conversions, and the schemas in docs/schemas and in the
//! API's description are derived from them.
//!
//! What docs/OUTPUT.md promises holds for each of them: keys are added, never removed or renamed; a value keeps its type
//! and its unit.

mod access;
mod aliases;
mod api;
mod assessment;
mod estimate;
mod events;
mod from_wire;
mod holdout;
mod landscape;
mod machines;
mod operations;
mod pickle;
mod progress;
mod queue;
mod results;
mod schedules;
mod statistics;
mod sweeps;
mod told;
mod trials;
mod walk;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value};

pub use access::*;
pub use aliases::*;
pub use api::*;
pub use assessment::*;
pub use estimate::*;
pub use events::*;
pub use from_wire::*;
pub use holdout::*;
pub use landscape::*;
pub use machines::*;
pub use operations::*;
pub use pickle::*;
pub use progress::*;
pub use queue::*;
pub use results::*;
pub use schedules::*;
pub use statistics::*;
pub use sweeps::*;
pub use told::*;
pub use trials::*;
pub use walk::*;

/// Names with values of any type, such as parameters.
pub type Object = Map<String, Value>;

/// The schema of what one or several commands print with `-o json`.
pub struct SchemaOfCommand {
    /// The file's name in docs/schemas, without `.json`.
    pub name: &'static str,
    /// The commands, without `btctl` and their arguments; none for what a webhook gets.
    pub commands: &'static [&'static str],
    /// Which of the commands' documents it is, where they have several.
    pub when: &'static str,
    pub schema: Schema,
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
pub fn described() -> Vec<SchemaOfCommand> {
    vec![
        one::<Submitted>("submit", &["submit", "rerun"], "of what is queued"),
        one::<Vec<PlannedJob>>("submit-dry-run", &["submit"], "with --dry-run"),
        one::<Estimate>("submit-estimate", &["submit"], "with --estimate"),
        one::<SuggestedResources>("submit-suggest-resources", &["submit"], "with --suggest-resources"),
        one::<AddedJobs>("add", &["add"], ""),
        one::<Vec<Sweep>>("ls", &["ls"], ""),
        one::<ShownSweep>("show", &["show"], "of a sweep"),
        one::<ShownJob>("show-job", &["show"], "of a job"),
        one::<Vec<Job>>("jobs", &["jobs", "top"], ""),
        one::<Vec<RunningJob>>("ps", &["ps"], ""),
        one::<Event>("watch", &["watch"], "without a sweep, a line for each event"),
        one::<Explained>("explain", &["explain"], ""),
        one::<Comparison>("compare", &["compare"], ""),
        one::<Assessment>("assess", &["assess"], ""),
        one::<FamilyTrials>("trials", &["trials"], "of a family"),
        one::<Vec<Family>>("trials-families", &["trials"], "without a family"),
        one::<Walk>("walk", &["walk"], ""),
        one::<Vec<ExportedJob>>("export", &["export"], ""),
        one::<ImportedMetrics>("metrics-import", &["metrics import"], ""),
        one::<ProbabilisticSharpe>("stats-psr", &["stats psr"], ""),
        one::<TrackRecord>("stats-mintrl", &["stats mintrl"], ""),
        one::<ExpectedMaximum>("stats-emax", &["stats emax"], ""),
        one::<BacktestLength>("stats-minbtl", &["stats minbtl"], ""),
        one::<DeflatedSharpe>("stats-dsr", &["stats dsr"], ""),
        one::<SharpeHaircut>("stats-haircut", &["stats haircut"], ""),
        one::<AdjustedPValues>("stats-adjust", &["stats adjust"], ""),
        one::<BacktestOverfitting>("stats-pbo", &["stats pbo"], ""),
        one::<EffectiveNumber>("stats-effective", &["stats effective"], ""),
        one::<PredictiveAbility>("stats-spa", &["stats spa"], ""),
        one::<LocalRun>("run", &["run"], ""),
        one::<Vec<RerunFinding>>("rerun-verify", &["rerun"], "with --verify"),
        one::<Vec<Output>>("results-ls", &["results ls"], ""),
        one::<bt_store::ResultDocument>("results-show", &["results show"], ""),
        one::<InspectedPickle>("results-inspect", &["results inspect"], ""),
        one::<Vec<Damage>>("results-verify", &["results verify"], ""),
        one::<Vec<Garbage>>("gc", &["gc"], ""),
        one::<InitialisedCluster>("init", &["init"], ""),
        one::<MadeCertificate>("coordinator-init", &["coordinator init"], ""),
        one::<Vec<Finding>>("coordinator-check", &["coordinator"], "with --check-config"),
        one::<MigratedSchema>("migrate", &["migrate"], ""),
        one::<BackupRecord>("backup", &["backup", "backup verify"], ""),
        one::<RestoredBackup>("restore", &["restore"], ""),
        one::<Vec<Agent>>("agents-ls", &["agents ls"], ""),
        one::<ShownAgent>("agents-show", &["agents show"], ""),
        one::<Vec<Limit>>("limits-ls", &["limits ls"], ""),
        one::<Vec<Quota>>("quota-ls", &["quota ls"], ""),
        one::<Vec<Image>>("image-ls", &["image ls"], ""),
        one::<InspectedImage>("image-inspect", &["image inspect"], ""),
        one::<Vec<AliasChange>>("image-aliases", &["image aliases", "image history"], ""),
        one::<ChangedAlias>("image-promote", &["image promote", "image rollback"], ""),
        one::<Vec<Setting>>("config-show", &["config show"], ""),
        one::<Machine>("doctor", &["doctor"], ""),
        one::<Whoami>("whoami", &["whoami"], ""),
        one::<CreatedToken>("token-create", &["token create"], ""),
        one::<Vec<Token>>("token-ls", &["token ls"], ""),
        one::<Vec<Secret>>("secrets-ls", &["secrets ls"], ""),
        one::<Schedule>("schedule-add", &["schedule add"], ""),
        one::<Vec<Schedule>>("schedule-ls", &["schedule ls"], ""),
        one::<ShownSchedule>("schedule-show", &["schedule show"], ""),
        one::<AskedRun>("schedule-run", &["schedule run"], ""),
        one::<Vec<AuditEntry>>("audit", &["audit"], ""),
        one::<AuditChain>("audit-verify", &["audit"], "with --verify"),
        one::<Notification>("notification", &[], ""),
    ]
}
