//! btctl: fans backtests out over machines. One binary: the client's commands, the coordinator, the agent, and all of
//! them on one machine.

// What agents and coordinators alone use.
#![cfg_attr(not(target_os = "linux"), allow(dead_code))]

#[cfg(target_os = "linux")]
mod backup;
mod batch;
mod client;
mod commands;
mod completion;
#[cfg(target_os = "linux")]
mod database;
mod docker_flags;
mod document_target;
mod error;
#[cfg(target_os = "linux")]
mod examination;
mod exposed;
mod files;
mod flag_text;
mod line;
#[cfg(target_os = "linux")]
mod logging;
mod measures;
mod output;
#[cfg(target_os = "linux")]
mod postgres_dirs;
mod progress;
mod reuse;
mod settings;
mod signals;
mod state_dir;
mod submit_trace;
mod target;
#[cfg(target_os = "linux")]
mod up;
mod values;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use commands::Cli;

fn main() -> ExitCode {
    completion::answer_shell(Cli::command);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return say_usage(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::say(&format!("btctl: threads can't be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(cli.run());
    // A short command has sent none of its spans yet.
    bt_traces::stop();
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

/// Prints the help that was asked for, or what is wrong with the command line.
fn say_usage(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    let shown = output::terminal::visible(&text);
    if shown == text {
        // With clap's colours. If the output is closed, it is lost.
        error.print().ok();
    } else {
        output::say(shown.trim_end());
    }
    if let Some(hint) = docker_flags::hint(error) {
        output::say(&format!("\nhint: {hint}"));
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
