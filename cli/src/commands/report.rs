//! `btctl report`: a sweep's page as one file.

use std::io::Write;
use std::path::PathBuf;

use tokio_stream::StreamExt;

use crate::client::Client;
use crate::document_target::DocumentTarget;
use crate::error::Error;
use crate::files;
use crate::output::say;
use crate::settings::Settings;

/// Write a sweep's page as one HTML file, to keep, send or print: its best jobs, the map of its metric, what failed and how,
/// its command and its manifest. The file needs no other file, no script and no network.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  btctl report sma-cross -o sma-cross.html\n  btctl report sma-cross -o - | mail -s results ann"
)]
pub(crate) struct Report {
    /// Sweep: NAME or ID.
    #[arg(value_name = "SWEEP")]
    sweep: String,
    /// File to write; - is standard output. One that exists is replaced when the new one is whole.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

impl Report {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let file = Some(self.output.as_path()).filter(|file| !files::is_standard(file));
        // Before anything is asked for.
        let mut out = DocumentTarget::open(file)?;
        let mut pieces = Client::connect(settings).await?.report(&self.sweep).await?;
        while let Some(piece) = pieces.next().await {
            out.write_all(&piece.map_err(Error::broken_off)?.html).map_err(Error::output)?;
        }
        out.finish()?;
        if let Some(file) = file {
            say(&format!("{} is written", file.display()));
        }
        Ok(())
    }
}
