//! `btctl tag` and `btctl note`: what users write on sweeps, to find them again and to remember what they were for.

use bt_model::tag::{check_note, check_tag};
use bt_proto::v1;

use crate::client::Client;
use crate::error::Error;
use crate::output::say;
use crate::settings::Settings;
use crate::target::{self, resolve_to_change};

/// Add tags to a sweep, or remove them; `btctl ls --tag` finds sweeps by tag.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  btctl tag sma-cross nightly desk:fx\n  btctl tag sma-cross --remove nightly"
)]
pub(crate) struct Tag {
    #[arg(value_name = "SWEEP", value_parser = target::sweep)]
    sweep: String,
    /// Tags to add.
    #[arg(value_name = "TAG", value_parser = tag)]
    add: Vec<String>,
    /// Tag to remove; may be repeated.
    #[arg(long, value_name = "TAG")]
    remove: Vec<String>,
}

/// Write a note on a sweep; it replaces an earlier one, and an empty text removes it.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  btctl note sma-cross 'for the committee on Friday'")]
pub(crate) struct Note {
    #[arg(value_name = "SWEEP", value_parser = target::sweep)]
    sweep: String,
    #[arg(value_name = "TEXT", value_parser = note)]
    text: String,
}

/// A tag on the command line.
pub(crate) fn tag(text: &str) -> Result<String, String> {
    check_tag(text).map(|()| text.to_owned())
}

/// A note on the command line.
pub(crate) fn note(text: &str) -> Result<String, String> {
    check_note(text).map(|()| text.to_owned())
}

impl Tag {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        if self.add.is_empty() && self.remove.is_empty() {
            return Err(Error::Usage(format!(
                "say which tags: btctl tag {0} TAG..., or btctl tag {0} --remove TAG",
                self.sweep
            )));
        }
        let client = Client::connect(settings).await?;
        let sweep = resolve_to_change(&client, &self.sweep).await?;
        let request = v1::DescribeSweepRequest {
            sweep: sweep.id,
            add_tags: self.add,
            remove_tags: self.remove,
            note: None,
        };
        let tags = client.describe_sweep(request).await?.tags;
        say(&match tags.is_empty() {
            true => format!("{}: no tags", sweep.name),
            false => format!("{}: {}", sweep.name, tags.join(", ")),
        });
        Ok(())
    }
}

impl Note {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let sweep = resolve_to_change(&client, &self.sweep).await?;
        let note = Some(self.text);
        let request = v1::DescribeSweepRequest { sweep: sweep.id, note, ..Default::default() };
        let written = client.describe_sweep(request).await?.note;
        say(&format!("{}: {}", sweep.name, if written.is_empty() { "no note" } else { &written }));
        Ok(())
    }
}
