//! `btctl completions`: what a shell needs to complete command lines.

use clap_complete::Shell;

use crate::completion;
use crate::error::Error;
use crate::output::print;

const EXAMPLES: &str = "\
Examples:
  echo 'source <(btctl completions bash)' >> ~/.bashrc
  echo 'source <(btctl completions zsh)' >> ~/.zshrc
  btctl completions fish > ~/.config/fish/completions/btctl.fish
Names of sweeps, jobs, agents, metrics, volumes and tags are completed too: btctl asks the coordinator for them, and \
waits at most 1.5 s for the answer.";

/// Print a script that completes btctl's command lines in a shell.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Completions {
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<(), Error> {
        print(completion::script(self.shell)?.trim_end())
    }
}
