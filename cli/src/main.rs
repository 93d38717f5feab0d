//! btctl: fans backtests out over machines. One binary: the client's commands, the coordinator, the agent, and all of
//! them on one machine.

mod batch;
mod client;
mod commands;
mod error;
mod logging;
mod output;
mod settings;
mod signals;
mod target;
mod up;

use std::process::ExitCode;

use clap::Parser;

use commands::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::say(&format!("btctl: threads can't be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(cli.run());
    // A log that is still read, or a stuck disk, must not keep the process.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let message = error.to_string();
            if !message.is_empty() {
                output::say(&format!("btctl: {message}"));
            }
            error.exit_code()
        }
    }
}
