//! The client's settings: from a flag, the environment, a file, or the default, in this order.

use std::fmt;
use std::path::{Path, PathBuf};

use bt_model::address::{Scheme, coordinators};
use bt_model::hex::hex;
use bt_model::manifest::{Receiver, parse_receivers};
use bt_proto::bearer::{self, TokenSource};
use bt_trust::ClientTrust;
use etcetera::{BaseStrategy, choose_base_strategy};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::state_dir::UpDir;

/// Where a client looks for a coordinator if nothing says where it is.
pub(crate) const DEFAULT_COORDINATOR: &str = "http://127.0.0.1:7600";

/// A settings file, `client.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientFile {
    /// `http://host:port`; several, separated by commas, are tried in turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) coordinator: Option<String>,
    /// The certificate of the coordinators' authority, as its pin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_pin: Option<String>,
    /// Whose sweeps a submit makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<String>,
    /// Whom a submit tells of its end; separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) notify: Option<String>,
    /// A file that holds a token; the token itself is in no settings file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<String>,
}

/// A key of the client's file, as docs/SETTINGS.md shows it.
#[derive(Debug)]
pub(crate) struct SettingKey {
    pub(crate) name: &'static str,
    pub(crate) flag: Option<&'static str>,
    pub(crate) variable: &'static str,
    pub(crate) default: &'static str,
    pub(crate) meaning: &'static str,
}

/// All keys of the client's file.
pub(crate) const KEYS: [SettingKey; 5] = [
    SettingKey {
        name: "coordinator",
        flag: Some("--coordinator"),
        variable: "BTCTL_COORDINATOR",
        default: "`http://127.0.0.1:7600`",
        meaning: "Address of the coordinator; several, separated by commas, are tried in turn",
    },
    SettingKey {
        name: "owner",
        flag: None,
        variable: "BTCTL_OWNER",
        default: "the user's name",
        meaning: "Whose sweeps a submit makes",
    },
    SettingKey {
        name: "notify",
        flag: None,
        variable: "BTCTL_NOTIFY",
        default: "nobody",
        meaning: "Addresses, separated by spaces, that are told when a sweep has finished whose manifest has no `notify`",
    },
    SettingKey {
        name: "token_file",
        flag: Some("--token-file"),
        variable: "BTCTL_TOKEN_FILE",
        default: "none",
        meaning: "File that holds the token to call the coordinator with; `BTCTL_TOKEN` wins over all but the flag, and what `btctl login` keeps wins over this file",
    },
    SettingKey {
        name: "ca_pin",
        flag: Some("--ca-pin"),
        variable: "BTCTL_CA_PIN",
        default: "none: what the machine trusts",
        meaning: "Pin of the certificate that an https:// coordinator must show, as `btctl coordinator init` prints it",
    },
];

/// Variables that no flag and no key stands for.
pub(crate) const VARIABLES: [(&str, &str); 8] = [
    ("BTCTL_CONFIG", "The client's file, instead of those in their usual places"),
    (
        "BTCTL_METADATA_URL",
        "Address of the cloud's metadata service, which tells an agent that its machine will stop",
    ),
    (
        "BTCTL_NOTIFY_SECRET",
        "The secret that a coordinator signs messages with, where no `--notify-secret-file` holds it",
    ),
    (
        "BTCTL_OTLP_ENDPOINT",
        "Where traces of jobs are sent, as `--otlp-endpoint URL` of every command: http://HOST:4317",
    ),
    (
        "BTCTL_SECRETS_KEY",
        "Of coordinators: the key that secrets are encrypted by, instead of `--secrets-key-file FILE`; no flag holds it",
    ),
    ("BTCTL_TOKEN", "The token to call the coordinator with"),
    ("COLUMNS", "Width of tables in characters where standard output is not a terminal"),
    ("NO_COLOR", "If it is set, nothing has colours"),
];

/// What the command line says of the settings; [`SettingSource`] says which values are from the environment.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct SettingFlags {
    /// Address of the coordinator, e.g. http://10.0.0.5:7600; several, separated by commas, are tried in turn.
    #[arg(long, global = true, value_name = "URL", help_heading = "Settings")]
    coordinator: Option<String>,
    /// Pin of the certificate that an https:// coordinator must show, sha256:..., as `btctl coordinator init` prints it.
    #[arg(long, global = true, value_name = "PIN", help_heading = "Settings", hide_short_help = true)]
    ca_pin: Option<String>,
    /// File that holds the token to call the coordinator with.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings", hide_short_help = true)]
    token_file: Option<PathBuf>,
    /// Send traces of jobs to this collector by OpenTelemetry's protocol over gRPC, e.g. http://127.0.0.1:4317.
    #[arg(
        long,
        global = true,
        env = "BTCTL_OTLP_ENDPOINT",
        value_name = "URL",
        help_heading = "Settings",
        hide_short_help = true
    )]
    pub(crate) otlp_endpoint: Option<String>,
}

/// Where a setting's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SettingSource {
    Flag(&'static str),
    Variable(&'static str),
    File(PathBuf),
    /// What `btctl login` keeps for these coordinators.
    Login,
    Default,
}

impl fmt::Display for SettingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(flag),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Login => f.write_str("btctl login"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value, and who set it.
#[derive(Clone, Debug)]
pub(crate) struct SourcedSetting {
    pub(crate) value: String,
    pub(crate) source: SettingSource,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) coordinator: SourcedSetting,
    pub(crate) owner: SourcedSetting,
    /// Empty: nobody is told.
    pub(crate) notify: SourcedSetting,
    /// Empty: what the machine trusts is believed.
    pub(crate) ca_pin: SourcedSetting,
    /// The file, or the variable that holds the token; empty: none.
    pub(crate) token_file: SourcedSetting,
}

impl Settings {
    pub(crate) fn read(flags: &SettingFlags) -> Result<Self, Error> {
        let files = files()?;
        let of_files = |field: fn(&ClientFile) -> Option<&String>| {
            files.iter().find_map(|(path, file)| {
                let value = field(file)?.clone();
                Some(SourcedSetting { value, source: SettingSource::File(path.clone()) })
            })
        };
        let flag = |name: &'static str, value: &Option<String>| {
            value.clone().map(|value| SourcedSetting { value, source: SettingSource::Flag(name) })
        };
        let otherwise = |value: String| SourcedSetting { value, source: SettingSource::Default };
        let user = || whoami::username().unwrap_or_else(|_| rustix::process::getuid().as_raw().to_string());
        let mut settings = Self {
            coordinator: flag("--coordinator", &flags.coordinator)
                .or_else(|| variable(KEYS[0].variable))
                .or_else(|| of_files(|file| file.coordinator.as_ref()))
                .unwrap_or_else(|| otherwise(DEFAULT_COORDINATOR.to_owned())),
            owner: variable(KEYS[1].variable)
                .or_else(|| of_files(|file| file.owner.as_ref()))
                .unwrap_or_else(|| otherwise(user())),
            notify: variable(KEYS[2].variable)
                .or_else(|| of_files(|file| file.notify.as_ref()))
                .unwrap_or_else(|| otherwise(String::new())),
            token_file: token_file(flags)
                .or_else(|| of_files(|file| file.token_file.as_ref()))
                .unwrap_or_else(|| otherwise(String::new())),
            ca_pin: flag("--ca-pin", &flags.ca_pin)
                .or_else(|| variable(KEYS[4].variable))
                .or_else(|| of_files(|file| file.ca_pin.as_ref()))
                .unwrap_or_else(|| otherwise(String::new())),
        };
        // Whoever signed in wants to be known so, until they sign out.
        let is_named =
            matches!(settings.token_file.source, SettingSource::Flag(_) | SettingSource::Variable(_));
        if !is_named && let Some(kept) = settings.login_file().filter(|path| path.exists()) {
            let value = kept.display().to_string();
            settings.token_file = SourcedSetting { value, source: SettingSource::Login };
        }
        Ok(settings)
    }

    /// Where `btctl login` keeps its token for these coordinators: beside the client's file, and for no other coordinator.
    pub(crate) fn login_file(&self) -> Option<PathBuf> {
        let mut coordinators = self.coordinators().ok()?;
        coordinators.sort();
        let key = Sha256::digest(coordinators.join(",").as_bytes());
        let name = format!("logins/{}.token", hex(&key[..8]));
        match variable("BTCTL_CONFIG") {
            Some(named) => Some(PathBuf::from(named.value).parent().unwrap_or(Path::new("")).join(name)),
            None => Some(choose_base_strategy().ok()?.config_dir().join("btctl").join(name)),
        }
    }

    /// The same without what `btctl login` keeps.
    pub(crate) fn without_login(&self) -> Self {
        match self.token_file.source {
            SettingSource::Login => {
                let none = SourcedSetting { value: String::new(), source: SettingSource::Default };
                Self { token_file: none, ..self.clone() }
            }
            _ => self.clone(),
        }
    }

    /// The same with what `btctl login` keeps, and no other token.
    pub(crate) fn with_login(&self, kept: &Path) -> Self {
        let kept = SourcedSetting { value: kept.display().to_string(), source: SettingSource::Login };
        Self { token_file: kept, ..self.clone() }
    }

    /// Where the token is that goes with each call.
    pub(crate) fn token(&self) -> TokenSource {
        match (&self.token_file.source, self.token_file.value.as_str()) {
            (SettingSource::Variable(bearer::VARIABLE), _) => TokenSource::Variable,
            (_, "") => TokenSource::None,
            (SettingSource::File(settings), path) => {
                // A relative path is one from the settings' own directory.
                TokenSource::File(settings.parent().unwrap_or(Path::new("")).join(path))
            }
            (_, path) => TokenSource::File(PathBuf::from(path)),
        }
    }

    /// Whose sweeps a submit asks to make. Where a token says who one is, nothing is asked for unless somebody has set it.
    pub(crate) fn asked_owner(&self) -> String {
        match self.owner.source == SettingSource::Default && self.token().is_some() {
            true => String::new(),
            false => self.owner.value.clone(),
        }
    }

    /// Who is told of sweeps whose manifest does not say it.
    pub(crate) fn receivers(&self) -> Result<Vec<Receiver>, Error> {
        parse_receivers(&self.notify.value)
            .map_err(|error| Error::Usage(format!("notify ({}): {error}", self.notify.source)))
    }

    /// The coordinators' addresses, at least one.
    pub(crate) fn coordinators(&self) -> Result<Vec<String>, Error> {
        let scheme = if self.ca_pin.value.is_empty() { Scheme::Http } else { Scheme::Https };
        coordinators(&self.coordinator.value, scheme)
            .map_err(|error| Error::Usage(format!("coordinator ({}): {error}", self.coordinator.source)))
    }

    /// Whom to believe on the way to a coordinator.
    pub(crate) fn trust(&self) -> Result<ClientTrust, Error> {
        let pin = match self.ca_pin.value.as_str() {
            "" => None,
            pin => Some(
                pin.parse()
                    .map_err(|error| Error::Usage(format!("ca_pin ({}): {error}", self.ca_pin.source)))?,
            ),
        };
        Ok(ClientTrust::pinned(pin))
    }
}

/// By flag or environment.
fn token_file(flags: &SettingFlags) -> Option<SourcedSetting> {
    if let Some(path) = &flags.token_file {
        let value = path.display().to_string();
        return Some(SourcedSetting { value, source: SettingSource::Flag("--token-file") });
    }
    // The token itself is shown nowhere.
    let token = variable(bearer::VARIABLE).map(|token| SourcedSetting { value: "***".to_owned(), ..token });
    token.or_else(|| variable(KEYS[3].variable))
}

fn variable(name: &'static str) -> Option<SourcedSetting> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
    Some(SourcedSetting { value, source: SettingSource::Variable(name) })
}

/// The files that there are: the one that BTCTL_CONFIG names, or else the user's own before that of the `btctl up` in
/// its default place.
fn files() -> Result<Vec<(PathBuf, ClientFile)>, Error> {
    if let Some(named) = variable("BTCTL_CONFIG") {
        let path = PathBuf::from(&named.value);
        let file = ClientFile::read(&path)?.ok_or_else(|| {
            Error::Usage(format!("{} does not exist; BTCTL_CONFIG names it", path.display()))
        })?;
        return Ok(vec![(path, file)]);
    }
    let own = choose_base_strategy().ok().map(|dirs| dirs.config_dir().join("btctl/client.toml"));
    let of_up = UpDir::default_dir().map(|dir| UpDir::new(dir).client_file()).ok();
    let mut found = Vec::new();
    for path in own.into_iter().chain(of_up) {
        if let Some(file) = ClientFile::read(&path)? {
            found.push((path, file));
        }
    }
    Ok(found)
}

impl ClientFile {
    /// Reads one; nothing where there is none.
    pub(crate) fn read(path: &Path) -> Result<Option<ClientFile>, Error> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::Usage(format!("{} can't be read: {error}", path.display()))),
        };
        let file = toml::from_str(&text)
            .map_err(|error| Error::Usage(format!("{}: {}", path.display(), error.to_string().trim_end())))?;
        Ok(Some(file))
    }
}
