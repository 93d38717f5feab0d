//! `btctl migrate`: brings a database up to date.

use bt_coordinator::backup::{SchemaStep, migrate, newest_migration};
use bt_documents::{MigratedSchema, Migration};

use crate::database::DatabaseArgs;
use crate::error::Error;
use crate::output::{Json, OutputArgs, print, print_json};

const EXAMPLES: &str = "\
Examples:
  BTCTL_DATABASE_URL=postgres://btctl@db/btctl btctl migrate --dry-run
  BTCTL_DATABASE_URL=postgres://btctl@db/btctl btctl migrate

A coordinator does the same when it starts, unless it has --no-migrate. Coordinators of the version before that run already go \
on; one that is started again must be of this version.";

/// Bring a database up to this version of btctl.
///
/// It is safe beside running coordinators and if it is run twice at once: each migration is applied once, whole or not at all.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Migrate {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Only say which migrations would be applied.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl Migrate {
    pub(crate) async fn run(self) -> Result<(), Error> {
        let change = migrate(&self.database.running()?, self.dry_run).await?;
        let done = MigratedSchema {
            from: change.from,
            to: newest_migration(),
            dry_run: self.dry_run,
            migrations: listed(change.steps),
        };
        match self.output.output.is_for_people() {
            true => print(&told(&done)),
            false => print_json(&Json::of(&done)?),
        }
    }
}

pub(super) fn listed(steps: Vec<SchemaStep>) -> Vec<Migration> {
    steps.into_iter().map(|step| Migration { version: step.version, name: step.name }).collect()
}

fn told(done: &MigratedSchema) -> String {
    if done.migrations.is_empty() {
        return format!("the database is up to date, at migration {}", done.to);
    }
    let mut told = match (done.dry_run, done.from) {
        (true, Some(from)) => format!("the database is at migration {from}; these would be applied:"),
        (true, None) => "the database is empty; these would be applied:".to_owned(),
        (false, _) => "applied:".to_owned(),
    };
    for Migration { version, name } in &done.migrations {
        told.push_str(&format!("\n  {version:04} {name}"));
    }
    told
}
