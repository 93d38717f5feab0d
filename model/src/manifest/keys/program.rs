//! The keys that say what runs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::key::{ManifestKey, Recipe, replace};
use crate::manifest::check;
use crate::manifest::document::{NodeKind, TextNode};
use crate::manifest::draft::Draft;
use crate::manifest::error::Error;
use crate::manifest::values::{checked, list, map, parsed, scalar_text, text};
use crate::manifest::volume::VolumeMount;

pub(super) const KEYS: &[ManifestKey] = &[
    ManifestKey {
        name: "name",
        alias: None,
        flags: &["name"],
        schema: || json!({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"}),
        read: |draft, node| {
            draft.name = Some(checked(node, text(node, "name")?, check::name)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.name, flags.name.take()),
        write: |manifest| Some(json!(manifest.name)),
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "image",
        alias: None,
        flags: &["image"],
        schema: || json!({"type": "string", "minLength": 1, "maxLength": 512}),
        read: |draft, node| {
            draft.image = Some(checked(node, text(node, "image")?, check::image)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.image, flags.image.take()),
        write: |manifest| Some(json!(manifest.image)),
        // Images are compared by their content, not by their names.
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "command",
        alias: None,
        flags: &[],
        schema: || json!({"type": "array", "items": word(), "maxItems": check::MAX_WORDS}),
        read: |draft, node| {
            draft.command = Some(read_command(draft, node)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.command, flags.command.take()),
        write: |manifest| Some(json!(manifest.command)),
        recipe: Recipe::Contains(|manifest, parts| parts.put("command", manifest.command.clone())),
    },
    ManifestKey {
        name: "env",
        alias: None,
        flags: &["env", "env-file"],
        schema: || json!({"type": "object", "additionalProperties": word(), "maxProperties": check::MAX_ENV}),
        read: |draft, node| {
            draft.env = read_env(draft, node)?;
            Ok(())
        },
        merge: |file, flags| {
            for name in flags.env.keys() {
                file.places.forget(&format!("env.{name}"));
            }
            if !flags.env.is_empty() {
                file.places.forget_only("env");
            }
            file.env.append(&mut flags.env);
            false
        },
        write: |manifest| Some(json!(manifest.env)),
        recipe: Recipe::Contains(|manifest, parts| parts.put("env", json!(manifest.env))),
    },
    ManifestKey {
        name: "volumes",
        alias: None,
        flags: &["volume"],
        schema: || json!({"type": "array", "items": {"type": "string"}, "maxItems": check::MAX_VOLUMES}),
        read: |draft, node| {
            draft.volumes = read_volumes(draft, node)?;
            Ok(())
        },
        merge: |file, flags| {
            let are_set = !flags.volumes.is_empty();
            for mount in std::mem::take(&mut flags.volumes) {
                file.volumes.retain(|known| known.target != mount.target);
                file.volumes.push(mount);
            }
            are_set
        },
        write: |manifest| Some(manifest.volumes.iter().map(|mount| Value::from(mount.to_string())).collect()),
        // The first volume is the input file's, and each has a variable: their order and names count.
        recipe: Recipe::Contains(|manifest, parts| {
            let mounts = manifest.volumes.iter();
            let mounts =
                mounts.map(|VolumeMount { volume, target, read_only }| json!([volume, target, read_only]));
            parts.put("volumes", mounts.collect::<Vec<Value>>());
        }),
    },
];

/// What becomes an argument or a variable: numbers and booleans as they are written.
fn word() -> Value {
    json!({"type": ["string", "number", "boolean"]})
}

fn read_command(draft: &mut Draft, node: &TextNode) -> Result<Vec<String>, Error> {
    if let NodeKind::Text(line) = &node.kind {
        let words: Vec<String> = line.split_whitespace().map(|word| format!("{word:?}")).collect();
        return Err(node.error(format!(
            "`command` is one text; write a list, so that no shell is needed to take it apart: [{}]",
            words.join(", ")
        )));
    }
    let mut words = Vec::new();
    for item in list(node, "command", "a list of words")? {
        draft.places.put(format!("command.{}", words.len()), item.place.clone());
        words.push(scalar_text(item, "command", "words")?);
    }
    checked(node, words, check::command)
}

fn read_env(draft: &mut Draft, node: &TextNode) -> Result<BTreeMap<String, String>, Error> {
    let mut env = BTreeMap::new();
    for entry in map(node, "`env`")? {
        let name = entry.name.as_str();
        check::env_name(name).map_err(|error| error.or_at(Some(&entry.place)))?;
        draft.places.put(format!("env.{name}"), entry.node.place.clone());
        let value = scalar_text(&entry.node, &format!("env.{name}"), "a text")?;
        env.insert(name.to_owned(), value);
    }
    Ok(env)
}

fn read_volumes(draft: &mut Draft, node: &TextNode) -> Result<Vec<VolumeMount>, Error> {
    let mut volumes = Vec::new();
    for item in list(node, "volumes", "a list of name:/path")? {
        draft.places.put(format!("volumes.{}", volumes.len()), item.place.clone());
        volumes.push(parsed(item, &text(item, "volumes")?, str::parse)?);
    }
    Ok(volumes)
}
