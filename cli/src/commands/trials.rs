//! `btctl trials`: how often an idea was tried.

use bt_documents::{Family, FamilyHoldout, FamilyLook, FamilyTrials, SweepTrials};

use crate::client::Client;
use crate::error::Error;
use crate::output::{Cell, Column, Json, ListArgs, OutputFormat, Row, View, print_json, say};
use crate::settings::Settings;

/// Count how often an idea was tried: all jobs of all sweeps of a family that have succeeded, failed or were pruned,
/// also of sweeps that were removed. The same parameters of the same image count once. Without a family, list the families.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  btctl trials\n  btctl trials sma-cross\n  btctl trials 'moving averages' -o json"
)]
pub(crate) struct Trials {
    /// Family as `family` in the manifest names it, or a sweep of it.
    family: Option<String>,
    #[command(flatten)]
    output: ListArgs,
}

impl Trials {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        match self.family.clone() {
            Some(family) => self.of_family(&client.trials(family).await?),
            None => self.families(client.families().await?),
        }
    }

    fn of_family(&self, trials: &FamilyTrials) -> Result<(), Error> {
        if self.output.format() == OutputFormat::Json {
            return print_json(&Json::of(trials)?);
        }
        let repeated = match trials.tried - trials.trials {
            0 => String::new(),
            repeated => format!("; {repeated} more were the same again and do not count"),
        };
        say(&format!(
            "{}: {} in {}{repeated}",
            trials.family,
            counted(trials.trials, "trial"),
            counted(trials.sweeps.len() as u64, "sweep"),
        ));
        trials.holdout.iter().for_each(tell_holdout);
        let columns = [
            "name",
            "id",
            "owner",
            "submitted",
            "jobs",
            "tried",
            "failed",
            "pruned",
            "trials",
            "new",
            "data",
            "removed",
        ];
        let row = |sweep: &SweepTrials| {
            let cells = vec![
                Cell::text(&sweep.name),
                Cell::text(&sweep.id),
                Cell::text(&sweep.owner),
                Cell::time(Some(sweep.submitted_at)),
                Cell::number(sweep.jobs),
                Cell::number(sweep.tried),
                Cell::number(sweep.failed),
                Cell::number(sweep.pruned),
                Cell::number(sweep.trials),
                Cell::number(sweep.new),
                Cell::text(data(sweep)),
                Cell::text(if sweep.removed { "yes" } else { "" }),
            ];
            Row { cells, json: Json::none(), name: sweep.name.clone() }
        };
        let rows = trials.sweeps.iter().map(row).collect();
        View { columns: columns.map(Column::always).into(), rows }.print(&self.output)
    }

    fn families(&self, families: Vec<Family>) -> Result<(), Error> {
        if families.is_empty() {
            say("no sweep was submitted yet");
        }
        let row = |family: Family| {
            let cells = vec![
                Cell::text(&family.family),
                Cell::number(family.sweeps),
                Cell::number(family.jobs),
                Cell::ago(Some(family.latest_at)),
            ];
            Ok::<_, Error>(Row { cells, json: Json::of(&family)?, name: family.family })
        };
        let columns = ["family", "sweeps", "jobs", "latest"].map(Column::always).into();
        View { columns, rows: families.into_iter().map(row).collect::<Result<_, _>>()? }.print(&self.output)
    }
}

/// What the jobs of a sweep saw of the data.
fn data(sweep: &SweepTrials) -> String {
    match (&sweep.cut_before, sweep.look) {
        (Some(from), _) => format!("before {from}"),
        (None, Some(number)) => format!("all: look {number}"),
        (None, None) => "all".to_owned(),
    }
}

fn tell_holdout(holdout: &FamilyHoldout) {
    let FamilyHoldout { from, looks, spent, owner, sweep, .. } = holdout;
    say(&format!(
        "holdout: jobs see no data from {from} on, set by {owner} with sweep {sweep}; {spent} of {looks} looks spent"
    ));
    for look in &holdout.spent_looks {
        let FamilyLook { number, owner, why, at, name, sweep, .. } = look;
        say(&format!("look {number} of {looks}: {owner}, {at:.0}, sweep {name} ({sweep}): {why}"));
    }
}

fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}
