//! The keys that say where a job runs, and what it finds and leaves there.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::key::{ManifestKey, Recipe, replace};
use crate::manifest::choice::{Goal, OnDisconnect};
use crate::manifest::definition::DEFAULT_PROGRESS;
use crate::manifest::document::TextNode;
use crate::manifest::error::Error;
use crate::manifest::values::{checked, map, parsed, scalar_text, text};
use crate::manifest::{check, goals, network, reported, secrets};

pub(super) const KEYS: &[ManifestKey] = &[
    ManifestKey {
        name: "network",
        alias: None,
        flags: &["network"],
        schema: network::schema,
        read: |draft, node| {
            draft.network = Some(network::read(node)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.network, flags.network.take()),
        write: |manifest| Some(manifest.network.written()),
        recipe: Recipe::Contains(|manifest, parts| parts.put("network", manifest.network.recipe())),
    },
    ManifestKey {
        name: "secrets",
        alias: None,
        flags: &["secret"],
        schema: secrets::schema,
        read: |draft, node| {
            draft.sandbox.secrets = secrets::read(node)?;
            Ok(())
        },
        merge: |file, flags| {
            let (file, flags) = (&mut file.sandbox.secrets, &mut flags.sandbox.secrets);
            let is_set = !flags.is_empty();
            file.retain(|known| flags.iter().all(|more| more.name != known.name));
            file.append(flags);
            is_set
        },
        // Agents of earlier releases do not know the key.
        write: |manifest| {
            let secrets = &manifest.sandbox.secrets;
            (!secrets.is_empty()).then(|| secrets::write(secrets))
        },
        // Their names and ways: whoever changes a value says whether that changes results, by another name.
        recipe: Recipe::Contains(|manifest, parts| {
            let mut secrets: Vec<_> = manifest.sandbox.secrets.iter().map(ToString::to_string).collect();
            secrets.sort_unstable();
            if !secrets.is_empty() {
                parts.put("secrets", secrets);
            }
        }),
    },
    ManifestKey {
        name: "user",
        alias: None,
        flags: &["user"],
        schema: || json!({"type": "string", "pattern": "^(auto|image|[0-9]+:[0-9]+)$"}),
        read: |draft, node| {
            // YAML 1.1's base 60 is not read here, so 1000:1000 is a text already.
            let user = scalar_text(node, "user", "auto, image, or uid:gid")?;
            draft.user = Some(parsed(node, &user, str::parse)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.user, flags.user.take()),
        write: |manifest| Some(manifest.user.to_string().into()),
        recipe: Recipe::Contains(|manifest, parts| parts.put("user", manifest.user.to_string())),
    },
    ManifestKey {
        name: "results",
        alias: None,
        flags: &["results"],
        schema: || json!({"type": "string", "pattern": "^/"}),
        read: |draft, node| {
            draft.results = Some(checked(node, text(node, "results")?, check::results)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.results, flags.results.take()),
        write: |manifest| Some(json!(manifest.results)),
        recipe: Recipe::Contains(|manifest, parts| parts.put("results", manifest.results.as_str())),
    },
    ManifestKey {
        name: "metrics",
        alias: None,
        flags: &["metrics", "require-metric"],
        schema: || {
            let path = json!({"type": "string"});
            let names = json!({"type": "array", "items": {"type": "string"}});
            let both = json!({
                "type": "object",
                "properties": {"path": path, "require": names},
                "additionalProperties": false,
            });
            json!({"anyOf": [path, both]})
        },
        read: |draft, node| {
            (draft.metrics, draft.require) = reported::read(node)?;
            Ok(())
        },
        merge: |file, flags| {
            if !flags.require.is_empty() {
                file.require = std::mem::take(&mut flags.require);
            }
            replace(&mut file.metrics, flags.metrics.take())
        },
        write: |manifest| Some(reported::write(manifest)),
        // What succeeded without a required metric would have failed with it.
        recipe: Recipe::Contains(|manifest, parts| {
            parts.put("metrics", manifest.metrics.as_str());
            parts.put("require", manifest.require.clone());
        }),
    },
    ManifestKey {
        name: "progress",
        alias: None,
        flags: &["progress"],
        schema: || json!({"type": "string"}),
        read: |draft, node| {
            draft.progress = Some(checked(node, text(node, "progress")?, check::progress)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.progress, flags.progress.take()),
        // Agents of earlier releases do not know the key.
        write: |manifest| (manifest.progress != DEFAULT_PROGRESS).then(|| manifest.progress.as_str().into()),
        // What a job says while it runs is no part of its result.
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "timezone",
        alias: None,
        flags: &["timezone"],
        schema: || json!({"type": "string"}),
        read: |draft, node| {
            draft.timezone = Some(checked(node, text(node, "timezone")?, check::timezone)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.timezone, flags.timezone.take()),
        write: |manifest| manifest.timezone.clone().map(Value::from),
        recipe: Recipe::Contains(|manifest, parts| {
            parts.put("timezone", manifest.timezone.as_deref().unwrap_or("UTC"));
        }),
    },
    ManifestKey {
        name: "goals",
        alias: None,
        flags: &["goal"],
        schema: || json!({"type": "object", "additionalProperties": {"enum": Goal::NAMES}}),
        read: |draft, node| {
            draft.goals = goals::read(node)?;
            Ok(())
        },
        merge: |file, flags| {
            file.goals.append(&mut flags.goals);
            false
        },
        write: |manifest| (!manifest.goals.is_empty()).then(|| goals::write(&manifest.goals)),
        // How results are ranked.
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "agents",
        alias: None,
        flags: &["agent-label"],
        schema: || {
            let label = json!({"type": ["string", "number", "boolean"]});
            json!({"type": "object", "additionalProperties": label, "maxProperties": check::MAX_LABELS})
        },
        read: |draft, node| {
            draft.agents = read_agents(node)?;
            Ok(())
        },
        merge: |file, flags| {
            file.agents.append(&mut flags.agents);
            false
        },
        write: |manifest| Some(json!(manifest.agents)),
        // Those that name the kind of machine are in it with `platform`.
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "on_disconnect",
        alias: None,
        flags: &["on-disconnect"],
        schema: || json!({"enum": OnDisconnect::NAMES}),
        read: |draft, node| {
            draft.on_disconnect = Some(parsed(node, &text(node, "on_disconnect")?, str::parse)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.on_disconnect, flags.on_disconnect.take()),
        write: |manifest| Some(manifest.on_disconnect.name().into()),
        recipe: Recipe::Omits,
    },
];

fn read_agents(node: &TextNode) -> Result<BTreeMap<String, String>, Error> {
    let mut labels = BTreeMap::new();
    for entry in map(node, "`agents`")? {
        let value = scalar_text(&entry.node, &format!("agents.{}", entry.name), "a label's value")?;
        check::label(&entry.name, &value).map_err(|error| error.or_at(Some(&entry.place)))?;
        labels.insert(entry.name.clone(), value);
    }
    Ok(labels)
}
