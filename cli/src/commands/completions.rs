//! `btctl completions`: what a shell needs to complete command lines.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::Cli;
use crate::error::Error;
use crate::output::print;

/// Print a script that makes a shell complete btctl's command lines.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Example:\n  btctl completions bash > ~/.local/share/bash-completion/completions/btctl"
)]
pub(crate) struct Completions {
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<(), Error> {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "btctl", &mut script);
        print(String::from_utf8_lossy(&script).trim_end())
    }
}
