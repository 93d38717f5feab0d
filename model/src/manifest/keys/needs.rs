//! The key `resources`: what a job takes from its agent.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::key::{ManifestKey, Recipe, replace};
use crate::manifest::check;
use crate::manifest::definition::Needs;
use crate::manifest::document::{MapEntry, NodeKind, TextNode};
use crate::manifest::error::Error;
use crate::manifest::size::{parse_cpus, parse_size};
use crate::manifest::values::{checked, map, number, parsed, scalar_text, unknown_key};

/// What docker's `--gpus all` would mean differs from machine to machine.
pub const ALL_GPUS: &str =
    "`gpus` is `all`, which differs from machine to machine; write how many each job needs";
const NEED_KEYS: [&str; 8] = ["cpus", "cpu_millicore", "memory", "memory_gb", "gpus", "gpu", "shm", "disk"];

pub(super) const KEYS: &[ManifestKey] = &[ManifestKey {
    name: "resources",
    alias: None,
    flags: &["cpus", "pin-cpus", "memory", "gpus", "shm-size", "disk"],
    schema,
    read: |draft, node| {
        draft.needs = read_needs(map(node, "`resources`")?, "resources")?;
        Ok(())
    },
    merge: |file, flags| {
        let (file, flags) = (&mut file.needs, &mut flags.needs);
        [
            replace(&mut file.cpu_millis, flags.cpu_millis.take()),
            replace(&mut file.pin, flags.pin.take()),
            replace(&mut file.memory_bytes, flags.memory_bytes.take()),
            replace(&mut file.gpus, flags.gpus.take()),
            replace(&mut file.shm_bytes, flags.shm_bytes.take()),
            replace(&mut file.disk_bytes, flags.disk_bytes.take()),
        ]
        .contains(&true)
    },
    write: |manifest| Some(write(&manifest.needs)),
    recipe: Recipe::Contains(|manifest, parts| {
        let Needs {
            // The number of threads that libraries start, which decides in which order floats are summed.
            cpu_millis: _,
            // Where the threads run, which changes how long they take.
            pin: _,
            gpus,
            // How much there is of these decides whether a job gets through.
            memory_bytes: _,
            shm_bytes: _,
            disk_bytes: _,
        } = manifest.needs;
        parts.put("threads", json!(manifest.thread_count()));
        parts.put("gpus", gpus.unwrap_or(0));
    }),
}];

fn schema() -> Value {
    let size = json!({"type": ["string", "number"]});
    let pinned = json!({
        "type": "object",
        "properties": {"count": {"type": ["string", "number"]}, "pin": {"type": "boolean"}},
        "additionalProperties": false,
    });
    let gpus = json!({"type": "integer", "minimum": 0, "maximum": 1024});
    json!({
        "type": "object",
        "properties": {
            "cpus": {"anyOf": [{"type": ["string", "number"]}, pinned]},
            "cpu_millicore": {"type": "integer", "minimum": 1},
            "memory": size,
            "memory_gb": {"type": ["string", "number"]},
            "gpus": gpus,
            "gpu": gpus,
            "shm": size,
            "disk": size,
        },
        "additionalProperties": false,
    })
}

fn write(needs: &Needs) -> Value {
    // A release that can't pin refuses the map.
    let (plain, pinned) = match needs.cpu_millis.filter(|_| needs.pin()) {
        Some(millis) => (None, Some(json!({"count": millis.div_ceil(1000), "pin": true}))),
        None => (needs.cpu_millis, None),
    };
    let amounts = [
        ("cpu_millicore", plain),
        ("memory", needs.memory_bytes),
        ("gpus", needs.gpus.map(u64::from)),
        ("shm", needs.shm_bytes),
        ("disk", needs.disk_bytes),
    ];
    let amounts = amounts.into_iter().filter_map(|(key, amount)| Some((key.to_owned(), amount?.into())));
    let pinned = pinned.map(|cpus| ("cpus".to_owned(), cpus));
    Value::Object(pinned.into_iter().chain(amounts).collect())
}

/// Reads resources under our names or an algorithm's; `owner` is the key they stand under.
pub(in crate::manifest) fn read_needs(entries: &[MapEntry], owner: &str) -> Result<Needs, Error> {
    let mut needs = Needs::default();
    let mut given: BTreeMap<&str, &str> = BTreeMap::new();
    for entry in entries {
        let (key, node) = (entry.name.as_str(), &entry.node);
        let path = format!("{owner}.{key}");
        let what = match key {
            "cpus" | "cpu_millicore" => "cpus",
            "memory" | "memory_gb" => "memory",
            "gpus" | "gpu" => "gpus",
            other => other,
        };
        if let Some(other) = given.insert(what, key) {
            let message = format!("both `{other}` and `{key}` are given in `{owner}`; one is enough");
            return Err(Error::new(message).or_at(Some(&entry.place)));
        }
        let size = |sample: &str| parsed(node, &scalar_text(node, &path, sample)?, parse_size);
        match key {
            "cpus" if matches!(node.kind, NodeKind::Map(_)) => read_cpus(node, &path, &mut needs)?,
            "cpus" => {
                needs.cpu_millis =
                    Some(parsed(node, &scalar_text(node, &path, "a number of cpus")?, parse_cpus)?)
            }
            "cpu_millicore" => needs.cpu_millis = Some(number(node, &path, 1, 100_000_000)? as u64),
            "memory" => {
                needs.memory_bytes = Some(checked(node, size("a size such as 1GiB")?, check::memory)?)
            }
            "memory_gb" => {
                let gigabytes = format!("{}g", scalar_text(node, &path, "a number of GiB")?);
                needs.memory_bytes =
                    Some(checked(node, parsed(node, &gigabytes, parse_size)?, check::memory)?);
            }
            "gpus" | "gpu" if matches!(&node.kind, NodeKind::Text(text) if text.trim() == "all") => {
                return Err(node.error(ALL_GPUS));
            }
            "gpus" | "gpu" => needs.gpus = Some(number(node, &path, 0, 1024)? as u32),
            "shm" => needs.shm_bytes = Some(checked(node, size("a size such as 64MiB")?, check::shm)?),
            "disk" => needs.disk_bytes = Some(checked(node, size("a size such as 2GiB")?, check::disk)?),
            _ => return Err(unknown_key(entry, owner, NEED_KEYS)),
        }
    }
    Ok(needs)
}

/// `{count: 2, pin: true}`
fn read_cpus(node: &TextNode, owner: &str, needs: &mut Needs) -> Result<(), Error> {
    for entry in map(node, owner)? {
        let (name, node) = (entry.name.as_str(), &entry.node);
        let path = format!("{owner}.{name}");
        match (name, &node.kind) {
            ("count", _) => {
                let text = scalar_text(node, &path, "a number of cpus")?;
                needs.cpu_millis = Some(parsed(node, &text, parse_cpus)?);
            }
            ("pin", NodeKind::Bool(pin)) => needs.pin = Some(*pin),
            ("pin", _) => {
                return Err(node.error(format!("`{path}` is {}; write true or false", node.describe())));
            }
            _ => {
                return Err(unknown_key(entry, owner, ["count", "pin"]));
            }
        }
    }
    Ok(())
}
