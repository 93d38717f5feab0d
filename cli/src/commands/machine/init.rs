//! `btctl init`: what a cluster needs to start, in one directory.

mod settings;

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};

use bt_documents::InitialisedCluster;
use bt_trust::{Authority, Pin, SERVER_CERTIFICATE, renew_server};
use clap::CommandFactory;
pub(super) use settings::env_file;
use settings::{Own, pass_through, public_url};

use crate::commands::Cli;
use crate::error::Error;
use crate::files;
use crate::output::{Cell, Json, OutputArgs, print, print_facts};
use crate::up::{found_names, in_address, with_local};

/// What services in containers run as where root has called: root of the machine is to own nothing of theirs.
const UNPRIVILEGED: u32 = 65532;
/// Where Docker's engine listens.
const ENGINE_SOCKET: &str = "/var/run/docker.sock";
/// The name that services of the compose file call the coordinator by.
const SERVICE: &str = "coordinator";

/// Files that are the same for everybody, and what is in them.
const COMPOSE: &str = include_str!("../../../../deploy/compose/compose.yaml");
const FILES: [(&str, &str); 9] = [
    ("prometheus/prometheus.yml", include_str!("../../../../deploy/compose/prometheus.yml")),
    ("prometheus/alerts.yml", include_str!("../../../../deploy/prometheus/alerts.yml")),
    ("grafana/reports.sql", include_str!("../../../../deploy/compose/reports.sql")),
    ("grafana/grafana.ini", include_str!("../../../../deploy/grafana/grafana.ini")),
    (
        "grafana/provisioning/datasources/btctl.yml",
        include_str!("../../../../deploy/grafana/provisioning/datasources/btctl.yml"),
    ),
    (
        "grafana/provisioning/dashboards/btctl.yml",
        include_str!("../../../../deploy/grafana/provisioning/dashboards/btctl.yml"),
    ),
    ("grafana/dashboards/fleet.json", include_str!("../../../../deploy/grafana/dashboards/fleet.json")),
    ("grafana/dashboards/queue.json", include_str!("../../../../deploy/grafana/dashboards/queue.json")),
    ("grafana/dashboards/sweep.json", include_str!("../../../../deploy/grafana/dashboards/sweep.json")),
];

const EXAMPLES: &str = "\
Examples:
  btctl init cluster --name bt.firm.example --data /srv/prices
  cd cluster && docker compose up -d
  btctl init --settings agent > /etc/btctl/agent.env

Called again, it makes what is missing and keeps what is there. docs/COMPOSE.md says what each file is for.";

/// Make what a cluster needs to start with docker compose: its settings, each with its meaning, a certificate, tokens, and
/// the compose file.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Init {
    /// Directory to make it in.
    #[arg(value_name = "DIR", value_parser = files::directory, required_unless_present = "settings")]
    dir: Option<PathBuf>,
    /// Name or address by which clients and other machines reach this one, without a port; may be repeated, in the variable
    /// separated by commas. This machine's names and its address on its way out if none is given.
    #[arg(long = "name", env = "HOST_SERVER", value_delimiter = ',', value_name = "HOST")]
    names: Vec<String>,
    /// Port of this machine by which they reach it.
    #[arg(long, env = "PORT", default_value_t = 7600, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Directory that jobs may read, as the volume `data`; DIR/data if not given.
    #[arg(long, value_name = "DIR", value_parser = files::directory)]
    data: Option<PathBuf>,
    /// Write the compose file, and what Prometheus and Grafana read, as this version of btctl has them; settings, keys,
    /// tokens and certificates are kept.
    #[arg(long)]
    refresh: bool,
    /// Make nothing: print the settings of one service as a file of variables, each with its meaning.
    #[arg(long, value_name = "SERVICE", conflicts_with_all = ["dir", "names", "data", "refresh"])]
    settings: Option<Service>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Whose settings are printed.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Service {
    Coordinator,
    Agent,
}

impl Init {
    pub(crate) fn run(self) -> Result<(), Error> {
        let command = Cli::command();
        match (self.settings, &self.dir) {
            (Some(Service::Coordinator), _) => {
                print(env_file(&command, &["coordinator"], &BTreeSet::new()).trim())
            }
            (Some(Service::Agent), _) => print(env_file(&command, &["agent"], &BTreeSet::new()).trim()),
            (None, Some(dir)) => self.make(&command, dir),
            (None, None) => Err(Error::Usage("name the directory to make the cluster in".to_owned())),
        }
    }

    fn make(&self, command: &clap::Command, dir: &Path) -> Result<(), Error> {
        let names = if self.names.is_empty() { found_names() } else { self.names.clone() };
        let host = names.first().map_or("localhost", String::as_str);
        let url = format!("https://{}:{}", in_address(host), self.port);
        if let Some(data) = self.data.as_deref().filter(|data| !data.is_dir()) {
            return Err(Error::Usage(format!("--data {}: there is no such directory", data.display())));
        }
        let made = Made::open(dir)?;
        let data = match &self.data {
            Some(data) => std::path::absolute(data).map_err(|error| failed(data, &error))?,
            None => made.dir("data", 0o755)?,
        };
        let (results, state) = (made.dir("results", 0o755)?, made.dir("agent", 0o711)?);
        made.dir("prometheus/data", 0o755)?;
        let tls = made.dir("tls", 0o700)?;
        // One that is there is for the names that were given then.
        let pin = match !self.names.is_empty() || !tls.join(SERVER_CERTIFICATE).exists() {
            true => make_certificate(&tls, &names)?,
            false => open_authority(&tls)?.pin(),
        };
        for name in ["ca.pem", "ca.key", "server.pem", "server.key"] {
            made.own(&tls.join(name))?;
        }
        let tokens = made.dir("tokens", 0o700)?;
        let token = |name: &str, make: fn(&Path) -> anyhow::Result<()>| {
            let path = tokens.join(name);
            make(&path).map_err(|error| Error::Failed(format!("{error:#}")))?;
            made.own(&path)
        };
        token("admin.token", bt_coordinator::make_admin_token_file)?;
        token("agent.token", bt_coordinator::make_token_file)?;
        token("prometheus.token", bt_coordinator::make_token_file)?;
        let key = made.dir("secrets", 0o700)?.join("key");
        bt_coordinator::make_key_file(&key).map_err(|error| failed(&key, &error))?;
        made.own(&key)?;
        let own = Own { made: &made, url: &url, port: self.port, pin, results, state, data };
        let is_new = made.private_file(".env", &own.env(command))?;
        let coordinator = public_url(&made.dir.join(".env"))?.unwrap_or(url);
        let compose = pass_through(COMPOSE, command);
        let mut kept = Vec::new();
        let shared = FILES.iter().map(|(name, content)| (*name, *content));
        for (name, content) in std::iter::once(("compose.yaml", compose.as_str())).chain(shared) {
            if !made.shared_file(name, content, self.refresh)? {
                kept.push(name);
            }
        }
        let made = InitialisedCluster {
            dir: made.dir.display().to_string(),
            coordinator,
            pin: pin.to_string(),
            token_file: tokens.join("admin.token").display().to_string(),
            is_new,
        };
        if !self.output.output.is_for_people() {
            let facts = [("dir", Cell::text(&made.dir)), ("pin", Cell::text(&made.pin))];
            return print_facts(facts.into_iter(), &Json::of(&made)?, self.output.output);
        }
        print(&told(&made, &kept))
    }
}

/// What was made, and what to type next.
fn told(made: &InitialisedCluster, kept: &[&str]) -> String {
    let InitialisedCluster { dir, coordinator, pin, token_file, is_new } = made;
    let settings = if *is_new { "its settings are in" } else { "nothing was replaced; its settings are in" };
    let mut text = format!(
        "{dir}: {settings} {dir}/.env\npin {pin}\n\nstart it:\n  cd {dir} && docker compose up -d\nuse it:\n  \
         export BTCTL_COORDINATOR={coordinator} BTCTL_CA_PIN={pin} BTCTL_TOKEN_FILE={token_file}\n  btctl agents ls"
    );
    if !kept.is_empty() {
        text.push_str(&format!(
            "\n\nthese differ from what this version of btctl writes, and were kept (--refresh writes them anew): {}",
            kept.join(", ")
        ));
    }
    text
}

fn open_authority(dir: &Path) -> Result<Authority, Error> {
    let (authority, _) = Authority::open_or_make(dir).map_err(|error| Error::Failed(error.to_string()))?;
    Ok(authority)
}

fn make_certificate(dir: &Path, names: &[String]) -> Result<Pin, Error> {
    let authority = open_authority(dir)?;
    let names = names.iter().cloned().chain([SERVICE.to_owned()]).collect();
    renew_server(dir, &authority, &with_local(names)).map_err(|error| Error::Failed(error.to_string()))?;
    Ok(authority.pin())
}

/// The directory, and whom its files belong to.
struct Made {
    dir: PathBuf,
    owner: (u32, u32),
    /// The caller is root, and gives away what it makes.
    gives_away: bool,
}

impl Made {
    fn open(dir: &Path) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(|error| failed(dir, &error))?;
        let dir = dir.canonicalize().map_err(|error| failed(dir, &error))?;
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let gives_away = uid == 0;
        let owner = if gives_away { (UNPRIVILEGED, UNPRIVILEGED) } else { (uid, gid) };
        Ok(Self { dir, owner, gives_away })
    }

    /// Makes a directory in it for the services, unless it is there.
    fn dir(&self, name: &str, mode: u32) -> Result<PathBuf, Error> {
        let path = self.dir.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| failed(parent, &error))?;
        }
        match fs::DirBuilder::new().mode(mode).create(&path) {
            Ok(()) => self.own(&path)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(error) => return Err(failed(&path, &error)),
        }
        Ok(path)
    }

    fn own(&self, path: &Path) -> Result<(), Error> {
        if !self.gives_away {
            return Ok(());
        }
        chown(path, Some(self.owner.0), Some(self.owner.1)).map_err(|error| failed(path, &error))
    }

    /// Writes a file for this user alone, unless it is there. Says whether it was written.
    fn private_file(&self, name: &str, content: &str) -> Result<bool, Error> {
        let path = self.dir.join(name);
        if path.exists() {
            return Ok(false);
        }
        bt_trust::write_private(&path, content).map_err(|error| Error::Failed(error.to_string()))?;
        Ok(true)
    }

    /// Writes a file that is the same for everybody. False if another one is there, which is kept without `refresh`.
    fn shared_file(&self, name: &str, content: &str, refresh: bool) -> Result<bool, Error> {
        let path = self.dir.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| failed(parent, &error))?;
        }
        let there = fs::read_to_string(&path).ok();
        if there.as_deref() == Some(content) {
            return Ok(true);
        }
        if there.is_some() && !refresh {
            return Ok(false);
        }
        fs::write(&path, content).map_err(|error| failed(&path, &error))?;
        Ok(true)
    }

    /// The group that may use the engine here; root's if there is no engine.
    fn engine_group() -> u32 {
        fs::metadata(ENGINE_SOCKET).map_or(0, |about| about.gid())
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::Failed(format!("{} can't be made: {error}", path.display()))
}
