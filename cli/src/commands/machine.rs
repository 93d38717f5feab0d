//! The verbs that need more of this machine than a client does: agents, coordinators and what belongs to them run on Linux alone.

mod agent;
mod backup;
mod coordinator;
mod doctor;
mod down;
mod init;
mod migrate;
mod reference;
mod restore;
mod run;
mod umask;
mod up;

use clap::Subcommand;

use crate::error::Error;
use crate::settings::Settings;

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Machine {
    Run(Box<run::Run>),
    Init(init::Init),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Migrate(migrate::Migrate),
    Up(Box<up::Up>),
    Down(down::Down),
    Coordinator(Box<coordinator::Coordinator>),
    Agent(Box<agent::Agent>),
    Doctor(doctor::Doctor),
    Reference(reference::Reference),
}

impl Machine {
    /// What it calls itself in traces.
    pub(super) fn service(&self) -> &'static str {
        match self {
            Self::Coordinator(_) => "btctl-coordinator",
            Self::Agent(_) => "btctl-agent",
            Self::Up(_) => "btctl-up",
            _ => "btctl",
        }
    }

    pub(super) async fn run(self, settings: impl Fn() -> Result<Settings, Error>) -> Result<(), Error> {
        match self {
            Self::Run(command) => command.run().await,
            Self::Init(command) => command.run(),
            Self::Backup(command) => command.run().await,
            Self::Restore(command) => command.run().await,
            Self::Migrate(command) => command.run().await,
            Self::Up(command) => command.run().await,
            Self::Down(command) => command.run().await,
            Self::Coordinator(command) => command.run().await,
            Self::Agent(command) => command.run(&settings()?).await,
            Self::Doctor(command) => command.run(&settings()?).await,
            Self::Reference(command) => command.run(),
        }
    }
}
