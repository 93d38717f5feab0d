//! What a `btctl up` was given whose absence would lose something: a later start without it does the same. The results are
//! in the store, the queue is in the Postgres server, and jobs wait for volumes.

use std::fs;
use std::io::ErrorKind;

use bt_store::Location;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::output::say;
use crate::state_dir::UpDir;

const FILE: &str = "up.toml";

/// The settings of an earlier start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RememberedArguments {
    /// `--store`.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<String>,
    /// `--database-url`, without user, password and options.
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<String>,
    /// `--volume`, each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volumes: Vec<String>,
}

/// What this start is given, to which what is missing is added.
pub(super) struct UpArguments<'p> {
    pub(super) store: &'p mut Option<Location>,
    pub(super) database_url: Option<&'p str>,
    /// None without an agent.
    pub(super) volumes: Option<&'p mut Vec<String>>,
}

impl RememberedArguments {
    /// Adds what earlier starts were given and this one is not, and says so. Returns what is to be remembered from now on.
    pub(super) fn add_to(given: UpArguments<'_>, state_dir: &UpDir, forget: bool) -> Result<Self, Error> {
        let earlier = if forget { Self::default() } else { Self::read(state_dir)? };
        let from = state_dir.dir().join(FILE);
        let told =
            |what: &str| say(&format!("{what}, as at an earlier start ({}; --forget)", from.display()));
        if let (None, Some(store)) = (&*given.store, &earlier.store) {
            let location = store.parse();
            let location =
                location.map_err(|error| Error::Usage(format!("{}: store: {error}", from.display())))?;
            told(&format!("results are published to {store}"));
            *given.store = Some(location);
        }
        let database = given.database_url.map(without_secrets);
        if let (None, Some(server)) = (&database, &earlier.database) {
            return Err(Error::Usage(format!(
                "the queue of {} is in the Postgres server {server}; give it again with --database-url or \
                 BTCTL_DATABASE_URL (it may hold a password, and is not written down), or begin a new queue with --forget",
                state_dir.dir().display()
            )));
        }
        let mut volumes = earlier.volumes;
        if let Some(offered) = given.volumes {
            if offered.is_empty() && !volumes.is_empty() {
                told(&format!("volumes are offered: {}", volumes.join(", ")));
                offered.clone_from(&volumes);
            }
            volumes.clone_from(offered);
        }
        Ok(Self { store: given.store.as_ref().map(ToString::to_string), database, volumes })
    }

    /// The server that is used instead of a private one.
    pub(super) fn server(&self) -> Option<&str> {
        self.database.as_deref()
    }

    pub(super) fn read(state_dir: &UpDir) -> Result<Self, Error> {
        let path = state_dir.dir().join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Error::Usage(format!("{} can't be read: {error}", path.display()))),
        };
        toml::from_str(&text)
            .map_err(|error| Error::Usage(format!("{}: {}", path.display(), error.to_string().trim_end())))
    }

    /// Writes it down, whole or not at all.
    pub(super) fn write(&self, state_dir: &UpDir) -> Result<(), Error> {
        state_dir.write_toml(FILE, self)
    }
}

/// A server's address and database.
fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let rest = rest.split('?').next().unwrap_or_default();
    let server = rest.rsplit_once('@').map_or(rest, |(_, server)| server);
    format!("{scheme}://{server}")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Start {
        store: Option<Location>,
        volumes: Vec<String>,
    }

    fn start(state_dir: &UpDir, store: &str, url: Option<&str>, volumes: &[&str]) -> Result<Start, Error> {
        let mut start = Start {
            store: (!store.is_empty()).then(|| store.parse().unwrap()),
            volumes: volumes.iter().map(|volume| (*volume).to_owned()).collect(),
        };
        let given =
            UpArguments { store: &mut start.store, database_url: url, volumes: Some(&mut start.volumes) };
        RememberedArguments::add_to(given, state_dir, false)?.write(state_dir)?;
        Ok(start)
    }

    #[test]
    fn a_later_start_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let state_dir = UpDir::new(dir.path().to_owned());
        start(&state_dir, "s3://bucket/x", None, &["prices=/srv/prices:ro"]).unwrap();
        for _ in 0..2 {
            let later = start(&state_dir, "", None, &[]).unwrap();
            assert_eq!(later.store.unwrap().to_string(), "s3://bucket/x");
            assert_eq!(later.volumes, ["prices=/srv/prices:ro"]);
        }
        let other = start(&state_dir, "/srv/results", None, &["a=/a"]).unwrap();
        assert_eq!(other.volumes, ["a=/a"]);
        assert_eq!(start(&state_dir, "", None, &[]).unwrap().store.unwrap().to_string(), "/srv/results");
    }

    #[test]
    fn the_password_of_a_server_is_not_written_down_and_the_server_is_not_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let state_dir = UpDir::new(dir.path().to_owned());
        start(&state_dir, "", Some("postgres://me:hush@db/btctl?password=hush"), &[]).unwrap();
        let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert!(text.contains("postgres://db/btctl") && !text.contains("hush"), "{text}");
        let error = start(&state_dir, "", None, &[]).err().unwrap().to_string();
        assert!(error.contains("postgres://db/btctl") && error.contains("--database-url"), "{error}");
    }
}
