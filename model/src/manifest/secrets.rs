//! `secrets`: names of values that a job gets and no manifest holds. They come as files, or as variables where a program
//! knows no other way.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

use super::document::{NodeKind, TextNode};
use super::error::{Error, suggestion};
use super::values::{list, map, parsed, text, unknown_key};

/// Where a job finds its secrets, a file each.
pub const SECRETS_DIR: &str = "/run/secrets";
/// Secrets of one job.
pub(super) const MAX_SECRETS: usize = 32;
/// Letters of a name.
const LONGEST_NAME: usize = 64;
const KEYS: [&str; 2] = ["name", "as"];

/// A secret that jobs ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUse {
    pub name: String,
    pub arrival: SecretArrival,
}

/// How a secret reaches a job's program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecretArrival {
    /// As a file of its name below [`SECRETS_DIR`].
    #[default]
    File,
    /// As a variable of its name.
    Env,
}

impl SecretArrival {
    pub const NAMES: [&str; 2] = ["file", "env"];

    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Env => "env",
        }
    }
}

impl FromStr for SecretArrival {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "file" => Ok(Self::File),
            "env" => Ok(Self::Env),
            _ => {
                let hint = suggestion(text, Self::NAMES, "ways");
                Err(Error::new(format!("a secret comes as {text:?}{hint}")))
            }
        }
    }
}

/// Says what a secret may be called: what a variable and a file may be called too.
pub fn check_secret_name(name: &str) -> Result<(), String> {
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let all = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if first && all && name.len() <= LONGEST_NAME {
        return Ok(());
    }
    // It may be the value, by mistake.
    let shown: String = name.chars().take(12).collect();
    let more = if shown.len() < name.len() { ".." } else { "" };
    Err(format!(
        "{:?} is not the name of a secret: letters, digits and `_`, no digit first, {LONGEST_NAME} at most",
        format!("{shown}{more}")
    ))
}

/// Variables that decide which program runs, or that btctl sets.
fn check_variable(name: &str) -> Result<(), Error> {
    let taken = name.starts_with("BT_")
        || name.starts_with("LD_")
        || name == "PATH"
        || name == "ALGORITHM_INPUT_PATH";
    match taken {
        false => Ok(()),
        true => {
            Err(Error::new(format!("the secret {name} can't be a variable of that name; take it as a file")))
        }
    }
}

impl FromStr for SecretUse {
    type Err = Error;

    /// `BROKER_KEY`, `BROKER_KEY:file` or `BROKER_KEY:env`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, arrival) = match text.split_once(':') {
            None => (text, SecretArrival::File),
            Some((name, arrival)) => (name, arrival.parse()?),
        };
        Self::new(name, arrival)
    }
}

impl SecretUse {
    fn new(name: &str, arrival: SecretArrival) -> Result<Self, Error> {
        check_secret_name(name).map_err(Error::new)?;
        if arrival == SecretArrival::Env {
            check_variable(name)?;
        }
        Ok(Self { name: name.to_owned(), arrival })
    }
}

impl fmt::Display for SecretUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.arrival {
            SecretArrival::File => f.write_str(&self.name),
            SecretArrival::Env => write!(f, "{}:env", self.name),
        }
    }
}

pub(super) fn read(node: &TextNode) -> Result<Vec<SecretUse>, Error> {
    list(node, "secrets", "a list of names, such as [BROKER_KEY]")?.iter().map(read_one).collect()
}

fn read_one(node: &TextNode) -> Result<SecretUse, Error> {
    if !matches!(node.kind, NodeKind::Map(_)) {
        let name = text(node, "secrets")?;
        return parsed(node, &name, |name| SecretUse::new(name, SecretArrival::File));
    }
    let (mut name, mut arrival) = (None, SecretArrival::File);
    for entry in map(node, "a secret")? {
        match entry.name.as_str() {
            "name" => name = Some(text(&entry.node, "secrets.name")?),
            "as" => arrival = parsed(&entry.node, &text(&entry.node, "secrets.as")?, str::parse)?,
            _ => return Err(unknown_key(entry, "secrets", KEYS)),
        }
    }
    let name = name
        .ok_or_else(|| node.error("a secret has no `name`; write {name: BROKER_KEY, as: env}".to_owned()))?;
    parsed(node, &name, |name| SecretUse::new(name, arrival))
}

pub(super) fn write(secrets: &[SecretUse]) -> Value {
    let one = |secret: &SecretUse| match secret.arrival {
        SecretArrival::File => json!(secret.name),
        SecretArrival::Env => json!({ "name": secret.name, "as": secret.arrival.name() }),
    };
    secrets.iter().map(one).collect()
}

pub(super) fn schema() -> Value {
    let name = json!({"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,63}$"});
    let long = json!({
        "type": "object",
        "properties": {"name": name, "as": {"enum": SecretArrival::NAMES}},
        "required": ["name"],
        "additionalProperties": false,
    });
    json!({"type": "array", "items": {"anyOf": [name, long]}, "maxItems": MAX_SECRETS})
}

/// Refuses secrets that get into each other's way, or into that of a variable. The error comes with the key that it belongs to.
pub(super) fn admit(secrets: &[SecretUse], env: &BTreeMap<String, String>) -> Result<(), (String, Error)> {
    let refused = |told: String| Err(("secrets".to_owned(), Error::new(told)));
    for (index, secret) in secrets.iter().enumerate() {
        let name = &secret.name;
        if secrets[..index].iter().any(|other| other.name == *name) {
            return refused(format!("`secrets` names {name} twice; a secret comes in one way"));
        }
        if secret.arrival == SecretArrival::Env && env.contains_key(name) {
            return refused(format!(
                "the secret {name} is to be a variable, and `env` sets {name}; leave one of them out"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Format, Manifest};

    fn read(lines: &str) -> Result<Manifest, Error> {
        Manifest::parse(format!("image: x\n{lines}\n").as_bytes(), Format::Yaml, "s.yaml")?.finish()
    }

    #[test]
    fn they_travel() {
        let manifest =
            read("secrets: [BROKER_KEY, { name: TOKEN, as: env }, { name: pem, as: file }]").unwrap();
        let shown: Vec<_> = manifest.sandbox.secrets.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["BROKER_KEY", "TOKEN:env", "pem"]);
        assert_eq!(Manifest::from_json(&manifest.to_json()).unwrap(), manifest);
        assert!(!read("").unwrap().to_json().contains("secrets"));
        assert_eq!("TOKEN:env".parse::<SecretUse>().unwrap(), manifest.sandbox.secrets[1]);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (lines, words) in [
            ("secrets: KEY", "a list of names"),
            ("secrets: [3KEY]", "\"3KEY\" is not the name of a secret"),
            ("secrets: ['../x']", "is not the name"),
            ("secrets: [{ as: env }]", "has no `name`"),
            ("secrets: [{ name: KEY, as: envv }]", "did you mean `env`?"),
            ("secrets: [{ name: KEY, ass: env }]", "did you mean `as`?"),
            ("secrets: [{ name: PATH, as: env }]", "can't be a variable"),
            ("secrets: [{ name: BT_JOB, as: env }]", "can't be a variable"),
            ("secrets: [KEY, { name: KEY, as: env }]", "names KEY twice"),
            ("secrets: [{ name: KEY, as: env }]\nenv: { KEY: x }", "`env` sets KEY"),
        ] {
            let told = read(lines).unwrap_err().to_string();
            assert!(told.contains(words) && told.starts_with("s.yaml:2:"), "{lines}: {told}");
        }
        let many: Vec<_> = (0..=MAX_SECRETS).map(|n| format!("K{n}")).collect();
        assert!(
            read(&format!("secrets: [{}]", many.join(", ")))
                .unwrap_err()
                .to_string()
                .contains("32 is the limit")
        );
        // What was meant to be a value is not told whole.
        let told = read("secrets: ['hunter2-hunter2-hunter2']").unwrap_err().to_string();
        assert!(!told.contains("hunter2-hunter2-h"), "{told}");
    }
}
