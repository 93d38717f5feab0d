//! Settings as a file of variables: each with its meaning, and a `#` before it where its default holds.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bt_trust::Pin;
use clap::Command;
use uuid::Uuid;

use super::{COMPOSE, Made};
use crate::error::Error;
use crate::flag_text::{DefaultText, FlagText};

/// By which people reach the coordinator.
const PUBLIC_URL: &str = "BTCTL_PUBLIC_URL";
/// Columns of a comment.
const WIDTH: usize = 118;
/// The services that take settings from .env. Each list of settings in compose.yaml ends with this line; the settings from
/// .env follow it.
const SERVICES: [(&str, &str); 2] = [
    ("coordinator", "      # From .env, where it sets them: the other settings of a coordinator.\n"),
    ("agent", "      # From .env, where it sets them: the other settings of an agent.\n"),
];
/// Credentials of buckets, which the store's library reads.
const BUCKET_VARIABLES: [&str; 9] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_ENDPOINT",
    "AWS_ALLOW_HTTP",
    "GOOGLE_SERVICE_ACCOUNT",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ACCOUNT_KEY",
];

/// What only this cluster has.
pub(super) struct Own<'m> {
    pub(super) made: &'m Made,
    /// By which people reach the coordinator.
    pub(super) url: &'m str,
    pub(super) port: u16,
    pub(super) pin: Pin,
    pub(super) results: PathBuf,
    pub(super) state: PathBuf,
    pub(super) data: PathBuf,
}

impl Own<'_> {
    /// The file that compose reads.
    pub(super) fn env(&self, command: &Command) -> String {
        let Self { made, url, port, pin, results, state, data } = self;
        let version = env!("CARGO_PKG_VERSION");
        let (uid, gid) = made.owner;
        let agent = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let agent = if agent.is_empty() { "agent".to_owned() } else { agent };
        let password = || Uuid::new_v4().simple().to_string();
        let results = results.display();
        let values = [
            ("Images of the services.", "BTCTL_IMAGE", format!("btctl/coordinator:{version}")),
            ("", "BTCTL_AGENT_IMAGE", format!("btctl/agent:{version}")),
            ("", "POSTGRES_IMAGE", "postgres:17".to_owned()),
            ("", "PROMETHEUS_IMAGE", "prom/prometheus:v3.5.0".to_owned()),
            ("", "GRAFANA_IMAGE", "grafana/grafana:12.0.2".to_owned()),
            (
                "Where this machine publishes the coordinator's port (PORT, or ADDRESS:PORT), and Grafana's. Nothing else is published.",
                "BTCTL_PUBLISH",
                port.to_string(),
            ),
            ("", "GRAFANA_PUBLISH", "127.0.0.1:3000".to_owned()),
            ("By which people reach the page; messages link to it.", PUBLIC_URL, (*url).to_owned()),
            (
                "What coordinator, agent and Prometheus run as; the files of this directory belong to it.",
                "BTCTL_UID",
                uid.to_string(),
            ),
            ("", "BTCTL_GID", gid.to_string()),
            (
                "The group of /var/run/docker.sock, which the agent needs.",
                "DOCKER_GID",
                Made::engine_group().to_string(),
            ),
            (
                "Directories of this machine. The containers have them under the same paths.",
                "BTCTL_RESULTS_DIR",
                results.to_string(),
            ),
            ("", "BTCTL_AGENT_STATE_DIR", state.display().to_string()),
            ("What jobs may read, as the volume `data`.", "BTCTL_DATA_DIR", data.display().to_string()),
            (
                "Where results are published: the directory above, or a bucket, e.g. s3://bucket/prefix, with its credentials below.",
                "BTCTL_STORE",
                results.to_string(),
            ),
            (
                "The pin of the authority in tls/, by which the agent knows the coordinator.",
                "BTCTL_CA_PIN",
                pin.to_string(),
            ),
            ("The name of this machine's agent.", "BTCTL_AGENT_NAME", agent),
            ("Postgres. The password counts when its volume is made.", "POSTGRES_USER", "btctl".to_owned()),
            ("", "POSTGRES_PASSWORD", password()),
            ("", "POSTGRES_DB", "btctl".to_owned()),
            ("How long Prometheus keeps what it measures.", "PROMETHEUS_RETENTION", "30d".to_owned()),
            (
                "Passwords of Grafana's user admin, and of the role that it asks Postgres as.",
                "GRAFANA_PASSWORD",
                password(),
            ),
            ("", "GRAFANA_POSTGRES_PASSWORD", password()),
        ];
        let mut text = "# Settings of the cluster that compose.yaml starts. `btctl init` wrote them; they are yours to change, and \
                        count from\n# the next `docker compose up -d` on.\n"
            .to_owned();
        for (meaning, name, value) in &values {
            if !meaning.is_empty() {
                text.push('\n');
                comment(&mut text, meaning);
            }
            line(&mut text, &format!("{name}={value}"));
        }
        text.push('\n');
        comment(&mut text, "Credentials of a bucket, where BTCTL_STORE is one.");
        for name in BUCKET_VARIABLES {
            line(&mut text, &format!("# {name}="));
        }
        let set = values.iter().map(|(_, name, _)| (*name).to_owned()).chain(set_by_compose()).collect();
        text.push_str(&env_file(command, &["coordinator", "agent"], &set));
        text
    }
}

/// What stands in a file of settings as the coordinator's address.
pub(super) fn public_url(path: &Path) -> Result<Option<String>, Error> {
    let text = fs::read_to_string(path)
        .map_err(|error| Error::Failed(format!("{} can't be read: {error}", path.display())))?;
    let mut lines = text.lines().filter_map(|line| line.split_once('='));
    Ok(lines.find(|(name, _)| *name == PUBLIC_URL).map(|(_, value)| value.to_owned()))
}

/// The settings of these commands that have a variable, each once, with a `#` before it.
pub(in crate::commands) fn env_file(
    command: &Command,
    commands: &[&str],
    set_elsewhere: &BTreeSet<String>,
) -> String {
    let mut seen = set_elsewhere.clone();
    let mut text = String::new();
    for name in commands {
        line(&mut text, &format!("\n# ---- Settings of btctl {name} ----"));
        for flag in flags(command, name) {
            let Some(variable) = flag.variable.filter(|variable| seen.insert(variable.clone())) else {
                continue;
            };
            text.push('\n');
            comment(&mut text, &format!("{}{}.", flag.meaning, flag.choices));
            let default = match flag.default {
                DefaultText::Value(value) => value,
                DefaultText::Words(words) => {
                    comment(&mut text, &format!("If it is not set: {words}."));
                    String::new()
                }
                DefaultText::None => String::new(),
            };
            line(&mut text, &format!("# {variable}={default}"));
        }
    }
    text
}

/// compose.yaml, with every setting that it leaves to .env.
pub(super) fn pass_through(compose: &str, command: &Command) -> String {
    let mut whole = compose.to_owned();
    for (name, marker) in SERVICES {
        let set = set_before(compose, marker);
        let own = flags(command, name).filter_map(|flag| flag.variable).filter(|name| !set.contains(name));
        let lines = own.chain(BUCKET_VARIABLES.map(str::to_owned)).map(|name| format!("      {name}:\n"));
        whole = whole.replace(marker, &format!("{marker}{}", lines.collect::<String>()));
    }
    whole
}

/// The variables that the compose file itself sets.
fn set_by_compose() -> BTreeSet<String> {
    SERVICES.iter().flat_map(|(_, marker)| set_before(COMPOSE, marker)).collect()
}

/// Those that it sets in the list which this marker ends.
fn set_before(compose: &str, marker: &str) -> BTreeSet<String> {
    let before = compose.split_once(marker).map_or("", |(before, _)| before);
    let list = before.rsplit_once("environment:\n").map_or("", |(_, list)| list);
    list.lines().filter_map(|line| line.trim().split_once(": ")).map(|(name, _)| name.to_owned()).collect()
}

/// What of a command's flags can be said by a variable: all of its own, and of the client's those that an agent reads.
fn flags(command: &Command, name: &str) -> impl Iterator<Item = FlagText> {
    let mut command = command.clone();
    command.build();
    let found = command.find_subcommand(name).cloned();
    let is_agent = name == "agent";
    let flags = found.into_iter().flat_map(move |command| {
        let args =
            command.get_arguments().filter(|arg| !arg.is_hide_set() && (is_agent || !arg.is_global_set()));
        args.map(FlagText::of).collect::<Vec<_>>()
    });
    flags.filter(|flag| flag.variable.as_deref().is_some_and(|variable| variable != "BTCTL_OUTPUT"))
}

/// The text as lines of a comment.
fn comment(text: &mut String, meaning: &str) {
    let mut comment = String::from("#");
    for word in meaning.split_whitespace() {
        if comment.chars().count() + 1 + word.chars().count() > WIDTH {
            line(text, &comment);
            comment = String::from("#");
        }
        comment.push(' ');
        comment.push_str(word);
    }
    line(text, &comment);
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::commands::Cli;

    #[test]
    fn every_setting_of_a_service_is_in_the_files() {
        let command = Cli::command();
        let compose = pass_through(COMPOSE, &command);
        for (name, _) in SERVICES {
            let text = env_file(&command, &[name], &BTreeSet::new());
            for variable in flags(&command, name).filter_map(|flag| flag.variable) {
                assert!(
                    text.contains(&format!("\n# {variable}=")),
                    "{variable} is not in the settings of {name}"
                );
                assert!(
                    compose.contains(&format!("\n      {variable}:")),
                    "{variable} does not reach {name}"
                );
            }
        }
        assert!(env_file(&command, &["agent"], &BTreeSet::new()).contains("\n# BTCTL_AGENT_CPUS=\n"));
    }

    #[test]
    fn a_setting_that_compose_makes_is_set_once() {
        let compose = pass_through(COMPOSE, &Cli::command());
        assert_eq!(compose.matches("BTCTL_LISTEN:").count(), 1, "{compose}");
        assert!(set_by_compose().contains("BTCTL_AGENT_JOIN") && set_by_compose().contains("BTCTL_TLS_DIR"));
        assert!(!env_file(&Cli::command(), &["coordinator"], &set_by_compose()).contains("BTCTL_LISTEN"));
    }
}
