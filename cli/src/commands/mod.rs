//! The verbs of the command line, a file each.

mod add;
mod agents;
mod assess;
mod audit;
mod cancel;
mod compare;
mod completions;
mod config;
mod dash;
mod debug;
mod describe;
mod explain;
mod export;
mod gc;
mod image;
mod jobs;
mod limits;
mod login;
mod logs;
mod ls;
#[cfg(target_os = "linux")]
mod machine;
mod metrics;
mod pause;
mod ps;
mod quota;
mod report;
mod rerun;
mod results;
mod retry;
mod rm;
mod scaler;
mod schedule;
mod search;
mod secrets;
mod shell;
mod show;
mod stats;
mod submit;
mod token;
mod top;
mod trials;
mod version;
mod wait;
mod walk;
mod watch;
mod whoami;

use clap::{Parser, Subcommand};

use crate::error::Error;
use crate::settings::{SettingFlags, Settings};

const ABOUT: &str = "\
Fan backtests out over machines: a queue in Postgres, a container per parameter set, results in one place.";

const HELP: &str = "\
Names: a sweep is addressed by its name, its id or a unique prefix of its id; a job as SWEEP/17.
Exit codes: 0 done; 1 jobs failed, or the command did; 2 usage or manifest error; 3 not found; 4 refused;
  5 the coordinator can't be reached; 130 interrupted.

Start on one machine:
  btctl up                          in one terminal
  btctl submit -f sweep.yaml --wait in another
  btctl top sma-cross --by sharpe";

/// The command line.
#[derive(Clone, Debug, Parser)]
#[command(name = "btctl", version, about = ABOUT, after_help = HELP, propagate_version = false)]
pub(crate) struct Cli {
    #[command(flatten)]
    settings: SettingFlags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    Submit(Box<submit::Submit>),
    Add(add::Add),
    Close(add::Close),
    Search(Box<search::Search>),
    Ls(ls::Ls),
    Show(show::Show),
    Wait(wait::Wait),
    Watch(watch::Watch),
    Dash(dash::Dash),
    Jobs(jobs::Jobs),
    Ps(ps::Ps),
    Logs(logs::Logs),
    #[command(subcommand)]
    Results(results::Results),
    Top(top::Top),
    Compare(compare::Compare),
    Assess(assess::Assess),
    Trials(trials::Trials),
    Walk(walk::Walk),
    Export(export::Export),
    #[command(subcommand)]
    Metrics(metrics::Metrics),
    #[command(subcommand)]
    Stats(stats::Stats),
    Debug(debug::Debug),
    Shell(shell::Shell),
    Cancel(cancel::Cancel),
    Report(report::Report),
    Retry(retry::Retry),
    Rerun(rerun::Rerun),
    Pause(pause::Pause),
    Resume(pause::Resume),
    Tag(describe::Tag),
    Note(describe::Note),
    Rm(rm::Rm),
    Explain(explain::Explain),
    #[command(subcommand)]
    Limits(limits::Limits),
    #[command(subcommand)]
    Schedule(Box<schedule::Schedule>),
    #[command(subcommand)]
    Quota(quota::Quota),
    #[command(subcommand)]
    Agents(agents::Agents),
    #[command(subcommand)]
    Image(image::Image),
    Gc(gc::Gc),
    Scaler(scaler::Scaler),
    #[command(subcommand)]
    Token(token::Token),
    #[command(subcommand)]
    Secrets(secrets::Secrets),
    Login(login::Login),
    Logout(login::Logout),
    Whoami(whoami::Whoami),
    Audit(audit::Audit),
    #[cfg(target_os = "linux")]
    #[command(flatten)]
    Machine(machine::Machine),
    #[command(subcommand)]
    Config(config::Config),
    Completions(completions::Completions),
    Version(version::Version),
}

impl Cli {
    pub(crate) async fn run(self) -> Result<(), Error> {
        if let Some(endpoint) = self.settings.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty())
        {
            let service = match &self.command {
                #[cfg(target_os = "linux")]
                Command::Machine(command) => command.service(),
                _ => "btctl",
            };
            bt_traces::start(endpoint, service)
                .map_err(|error| Error::Usage(format!("--otlp-endpoint (BTCTL_OTLP_ENDPOINT): {error}")))?;
        }
        let settings = || Settings::read(&self.settings);
        match self.command {
            Command::Submit(command) => command.run(&settings()?).await,
            Command::Add(command) => command.run(&settings()?).await,
            Command::Close(command) => command.run(&settings()?).await,
            Command::Search(command) => command.run(&settings()?).await,
            Command::Ls(command) => command.run(&settings()?).await,
            Command::Show(command) => command.run(&settings()?).await,
            Command::Wait(command) => command.run(&settings()?).await,
            Command::Watch(command) => command.run(&settings()?).await,
            Command::Dash(command) => command.run(&settings()?).await,
            Command::Jobs(command) => command.run(&settings()?).await,
            Command::Ps(command) => command.run(&settings()?).await,
            Command::Logs(command) => command.run(&settings()?).await,
            Command::Results(command) => command.run(&settings()?).await,
            Command::Top(command) => command.run(&settings()?).await,
            Command::Compare(command) => command.run(&settings()?).await,
            Command::Assess(command) => command.run(&settings()?).await,
            Command::Trials(command) => command.run(&settings()?).await,
            Command::Walk(command) => command.run(&settings()?).await,
            Command::Export(command) => command.run(&settings()?).await,
            Command::Metrics(command) => command.run(&settings()?).await,
            Command::Stats(command) => command.run(),
            Command::Debug(command) => command.run(&settings()?).await,
            Command::Shell(command) => command.run(&settings()?).await,
            Command::Cancel(command) => command.run(&settings()?).await,
            Command::Report(command) => command.run(&settings()?).await,
            Command::Retry(command) => command.run(&settings()?).await,
            Command::Rerun(command) => command.run(&settings()?).await,
            Command::Pause(command) => command.run(&settings()?).await,
            Command::Resume(command) => command.run(&settings()?).await,
            Command::Tag(command) => command.run(&settings()?).await,
            Command::Note(command) => command.run(&settings()?).await,
            Command::Rm(command) => command.run(&settings()?).await,
            Command::Explain(command) => command.run(&settings()?).await,
            Command::Quota(command) => command.run(&settings()?).await,
            Command::Limits(command) => command.run(&settings()?).await,
            Command::Schedule(command) => command.run(&settings()?).await,
            Command::Agents(command) => command.run(&settings()?).await,
            Command::Image(command) => command.run(&settings()?).await,
            Command::Gc(command) => command.run(&settings()?).await,
            Command::Scaler(command) => command.run(&settings()?).await,
            Command::Token(command) => command.run(&settings()?).await,
            Command::Secrets(command) => command.run(&settings()?).await,
            Command::Login(command) => command.run(&settings()?).await,
            Command::Logout(command) => command.run(&settings()?).await,
            Command::Whoami(command) => command.run(&settings()?).await,
            Command::Audit(command) => command.run(&settings()?).await,
            #[cfg(target_os = "linux")]
            Command::Machine(command) => command.run(settings).await,
            Command::Config(command) => command.run(&settings()?),
            Command::Completions(command) => command.run(),
            Command::Version(command) => command.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The leaves of the command line that print JSON, by their names in a row.
    fn with_json(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        for inner in command.get_subcommands() {
            with_json(inner, format!("{path} {}", inner.get_name()).trim(), found);
        }
        let is_json =
            |arg: &clap::Arg| arg.get_possible_values().iter().any(|value| value.get_name() == "json");
        let prints = command.get_arguments().any(|arg| arg.get_short() == Some('o') && is_json(arg));
        if prints {
            found.push(path.to_owned());
        }
    }

    #[test]
    fn each_command_that_prints_json_has_a_schema() {
        let mut printing = Vec::new();
        with_json(&<Cli as clap::CommandFactory>::command(), "", &mut printing);
        let described = bt_documents::described();
        let known: Vec<_> = described.iter().flat_map(|described| described.commands).collect();
        for command in &printing {
            assert!(known.contains(&&command.as_str()), "btctl {command} -o json has no schema");
        }
        for command in known {
            assert!(printing.iter().any(|name| name == command), "btctl {command} prints no JSON");
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
