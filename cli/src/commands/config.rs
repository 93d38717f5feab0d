//! `btctl config`: the client's settings.

use bt_documents as documents;
use bt_model::manifest::mask_address;

use crate::error::Error;
use crate::output::{Cell, Column, Json, OutputArgs, Row, View};
use crate::settings::{Settings, SourcedSetting};

/// Show the settings.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Config {
    /// Show each setting's value and where it comes from: a flag, the environment, a file or the default.
    Show(Show),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Show {
    #[command(flatten)]
    output: OutputArgs,
}

impl Config {
    pub(crate) fn run(self, settings: &Settings) -> Result<(), Error> {
        let Self::Show(show) = self;
        let columns = ["setting", "value", "source"].map(Column::always).into();
        let row = |name: &str, setting: &SourcedSetting| {
            let source = setting.source.to_string();
            Ok::<_, Error>(Row {
                json: Json::of(&documents::Setting {
                    setting: name.to_owned(),
                    value: setting.value.clone(),
                    source: source.clone(),
                })?,
                cells: [name, &setting.value, &source].map(Cell::text).into(),
                name: name.to_owned(),
            })
        };
        // As they may be shown: addresses may hold secrets.
        let receivers: Vec<_> = settings.notify.value.split_whitespace().map(mask_address).collect();
        let notify = SourcedSetting { value: receivers.join(" "), source: settings.notify.source.clone() };
        let rows = vec![
            row("coordinator", &settings.coordinator)?,
            row("owner", &settings.owner)?,
            row("notify", &notify)?,
            row("ca_pin", &settings.ca_pin)?,
            row("token_file", &settings.token_file)?,
        ];
        View { columns, rows }.print(show.output.output)
    }
}
