//! The keys that say how a job's container is made, beyond what it needs.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::key::{ManifestKey, Recipe, replace};
use crate::manifest::choice::{Containers, Driver, Pull};
use crate::manifest::dev_mount::{self, DevMount};
use crate::manifest::document::{NodeKind, TextNode};
use crate::manifest::error::Error;
use crate::manifest::sandbox::{
    MAX_BATCH, MAX_GROUPS, MAX_PIDS, MAX_TMPFS, Tmpfs, ULIMITS, cache, check_ulimit, signal, working_dir,
};
use crate::manifest::size::{parse_size, parse_timeout};
use crate::manifest::values::{list, map, number, parsed, scalar_text, text, unknown_key};
use crate::manifest::warm;

pub(super) const KEYS: &[ManifestKey] = &[
    ManifestKey {
        name: "driver",
        alias: None,
        flags: &["driver"],
        schema: || json!({"enum": Driver::NAMES}),
        read: |draft, node| {
            draft.sandbox.driver = Some(parsed(node, &text(node, "driver")?, str::parse)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.sandbox.driver, flags.sandbox.driver.take()),
        write: |manifest| manifest.sandbox.driver.map(|driver| driver.name().into()),
        recipe: Recipe::Contains(|manifest, parts| {
            if manifest.is_process() {
                parts.put("driver", "process");
            }
        }),
    },
    ManifestKey {
        name: "entrypoint",
        alias: None,
        flags: &["entrypoint"],
        schema: || json!({"type": "array", "items": {"type": ["string", "number", "boolean"]}, "minItems": 1}),
        read: |draft, node| {
            draft.sandbox.entrypoint = Some(read_words(node)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.sandbox.entrypoint, flags.sandbox.entrypoint.take()),
        write: |manifest| manifest.sandbox.entrypoint.clone().map(Value::from),
        recipe: Recipe::Contains(|manifest, parts| {
            parts.put("entrypoint", manifest.sandbox.entrypoint.clone())
        }),
    },
    ManifestKey {
        name: "working_dir",
        alias: None,
        flags: &["workdir"],
        schema: path_schema,
        read: |draft, node| {
            let path = text(node, "working_dir")?;
            draft.sandbox.working_dir = Some(parsed(node, &path, working_dir)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.sandbox.working_dir, flags.sandbox.working_dir.take()),
        write: |manifest| manifest.sandbox.working_dir.clone().map(Value::from),
        recipe: Recipe::Contains(|manifest, parts| {
            parts.put("working_dir", manifest.sandbox.working_dir.clone())
        }),
    },
    ManifestKey {
        name: "platform",
        alias: None,
        flags: &["platform"],
        schema: || json!({"type": "string", "pattern": "^linux/"}),
        read: |draft, node| {
            draft.sandbox.platform = Some(parsed(node, &text(node, "platform")?, str::parse)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.sandbox.platform, flags.sandbox.platform.take()),
        write: |manifest| manifest.sandbox.platform.as_ref().map(|platform| platform.to_string().into()),
        recipe: Recipe::Contains(|manifest, parts| {
            parts.put("platform", manifest.sandbox.platform.as_ref().map(ToString::to_string));
            // One image may be made for several kinds of machines.
            let is_platform = |name: &str| ["os", "arch"].contains(&name);
            let machine: BTreeMap<_, _> =
                manifest.agents.iter().filter(|(name, _)| is_platform(name)).collect();
            parts.put("machine", json!(machine));
        }),
    },
    ManifestKey {
        name: "tmpfs",
        alias: None,
        flags: &["tmpfs"],
        schema: || json!({"type": "array", "items": {"type": "string", "pattern": "^/"}, "maxItems": MAX_TMPFS}),
        read: |draft, node| {
            draft.sandbox.tmpfs = read_tmpfs(node)?;
            Ok(())
        },
        merge: |file, flags| {
            let (file, flags) = (&mut file.sandbox.tmpfs, &mut flags.sandbox.tmpfs);
            let is_set = !flags.is_empty();
            file.retain(|known| flags.iter().all(|more| more.path != known.path));
            file.append(flags);
            is_set
        },
        write: |manifest| {
            let tmpfs = &manifest.sandbox.tmpfs;
            (!tmpfs.is_empty()).then(|| tmpfs.iter().map(|tmpfs| Value::from(tmpfs.to_string())).collect())
        },
        recipe: Recipe::Contains(|manifest, parts| {
            let mut paths: Vec<_> = manifest.sandbox.tmpfs.iter().map(|tmpfs| tmpfs.path.as_str()).collect();
            paths.sort_unstable();
            parts.put("tmpfs", paths);
        }),
    },
    ManifestKey {
        name: "groups",
        alias: Some("group_add"),
        flags: &["group-add"],
        schema: || {
            let group = json!({"type": "integer", "minimum": 0});
            json!({"type": "array", "items": group, "maxItems": MAX_GROUPS})
        },
        read: |draft, node| {
            draft.sandbox.groups = read_groups(node)?;
            Ok(())
        },
        merge: |file, flags| {
            let (file, flags) = (&mut file.sandbox.groups, &mut flags.sandbox.groups);
            let is_set = !flags.is_empty();
            file.retain(|known| !flags.contains(known));
            file.append(flags);
            is_set
        },
        write: |manifest| {
            let groups = &manifest.sandbox.groups;
            (!groups.is_empty()).then(|| json!(groups))
        },
        recipe: Recipe::Contains(|manifest, parts| {
            let mut groups = manifest.sandbox.groups.clone();
            groups.sort_unstable();
            parts.put("groups", groups);
        }),
    },
    ManifestKey {
        name: "cache",
        alias: None,
        flags: &["cache"],
        schema: path_schema,
        read: |draft, node| {
            draft.sandbox.cache = Some(parsed(node, &text(node, "cache")?, cache)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.sandbox.cache, flags.sandbox.cache.take()),
        write: |manifest| manifest.sandbox.cache.clone().map(Value::from),
        recipe: Recipe::Contains(|manifest, parts| parts.put("cache", manifest.sandbox.cache.clone())),
    },
    ManifestKey {
        name: "containers",
        alias: None,
        flags: &["containers"],
        schema: || json!({"enum": Containers::NAMES}),
        read: |draft, node| {
            draft.sandbox.containers = Some(parsed(node, &text(node, "containers")?, str::parse)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.sandbox.containers, flags.sandbox.containers.take()),
        write: |manifest| manifest.sandbox.containers.map(|choice| choice.name().into()),
        // Jobs that share a container find what others have left in /tmp.
        recipe: Recipe::Contains(|manifest, parts| {
            parts.put("shared", manifest.containers() != Containers::Each)
        }),
    },
    ManifestKey {
        name: "warm",
        alias: None,
        flags: &[],
        schema: warm::schema,
        read: |draft, node| {
            draft.sandbox.warm = Some(warm::read(node)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.sandbox.warm, flags.sandbox.warm.take()),
        write: |manifest| manifest.sandbox.warm.as_ref().map(warm::write),
        // What a job finds imported does not change what it leaves.
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "batch",
        alias: None,
        flags: &["batch"],
        schema: || json!({"type": "integer", "minimum": 1, "maximum": MAX_BATCH}),
        read: |draft, node| {
            draft.sandbox.batch = Some(number(node, "batch", 1, i64::from(MAX_BATCH))? as u32);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.sandbox.batch, flags.sandbox.batch.take()),
        write: |manifest| manifest.sandbox.batch.map(Value::from),
        // A job is called in another way, however many there are in its container.
        recipe: Recipe::Contains(|manifest, parts| {
            if manifest.sandbox.batch.is_some() {
                parts.put("batch", true);
            }
        }),
    },
    ManifestKey {
        name: "dev_mount",
        alias: None,
        flags: &["dev-mount"],
        schema: dev_mount::schema,
        read: |draft, node| {
            draft.sandbox.dev_mounts = dev_mount::read(node)?;
            Ok(())
        },
        merge: |file, flags| {
            let (file, flags) = (&mut file.sandbox.dev_mounts, &mut flags.sandbox.dev_mounts);
            let is_set = !flags.is_empty();
            file.retain(|known| flags.iter().all(|more| more.target != known.target));
            file.append(flags);
            is_set
        },
        write: |manifest| DevMount::to_json(&manifest.sandbox.dev_mounts),
        recipe: Recipe::Contains(|manifest, parts| {
            let mounts = manifest.sandbox.dev_mounts.iter();
            let mut mounts: Vec<_> = mounts.map(|mount| json!([mount.target, mount.sha256])).collect();
            mounts.sort_by_key(ToString::to_string);
            if !mounts.is_empty() {
                parts.put("dev_mount", mounts);
            }
        }),
    },
    // How a job is stopped, where its image comes from, and the limits that it fails at: no recipe contains these.
    ManifestKey {
        name: "stop_signal",
        alias: None,
        flags: &["stop-signal"],
        schema: || json!({"type": "string"}),
        read: |draft, node| {
            draft.sandbox.stop_signal = Some(parsed(node, &text(node, "stop_signal")?, signal)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.sandbox.stop_signal, flags.sandbox.stop_signal.take()),
        write: |manifest| manifest.sandbox.stop_signal.clone().map(Value::from),
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "stop_grace",
        alias: Some("stop_grace_period"),
        flags: &["stop-timeout"],
        schema: || json!({"type": ["string", "number"]}),
        read: |draft, node| {
            let grace = scalar_text(node, "stop_grace", "a time such as 30s")?;
            draft.sandbox.stop_grace = Some(parsed(node, &grace, parse_timeout)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.sandbox.stop_grace, flags.sandbox.stop_grace.take()),
        write: |manifest| {
            let grace = manifest.sandbox.stop_grace?;
            Some(humantime::format_duration(grace).to_string().into())
        },
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "pull",
        alias: Some("pull_policy"),
        flags: &["pull"],
        schema: || json!({"enum": Pull::NAMES}),
        read: |draft, node| {
            draft.sandbox.pull = Some(parsed(node, &text(node, "pull")?, str::parse)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.sandbox.pull, flags.sandbox.pull.take()),
        write: |manifest| manifest.sandbox.pull.map(|pull| pull.name().into()),
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "pids",
        alias: Some("pids_limit"),
        flags: &["pids-limit"],
        schema: || json!({"type": "integer", "minimum": 2, "maximum": MAX_PIDS}),
        read: |draft, node| {
            draft.sandbox.pids = Some(number(node, "pids", 2, i64::from(MAX_PIDS))? as u32);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.sandbox.pids, flags.sandbox.pids.take()),
        write: |manifest| manifest.sandbox.pids.map(Value::from),
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "ulimits",
        alias: None,
        flags: &["ulimit"],
        schema: ulimits_schema,
        read: |draft, node| {
            draft.sandbox.ulimits = read_ulimits(node)?;
            Ok(())
        },
        merge: |file, flags| {
            let is_set = !flags.sandbox.ulimits.is_empty();
            file.sandbox.ulimits.append(&mut flags.sandbox.ulimits);
            is_set
        },
        write: |manifest| {
            let ulimits = manifest.sandbox.ulimits.iter();
            let ulimits: BTreeMap<_, _> =
                ulimits.map(|(name, (soft, hard))| (name, json!({"soft": soft, "hard": hard}))).collect();
            (!ulimits.is_empty()).then(|| json!(ulimits))
        },
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "log_limit",
        alias: None,
        flags: &["log-limit"],
        schema: || json!({"type": ["string", "number"]}),
        read: |draft, node| {
            let limit = scalar_text(node, "log_limit", "a size such as 64MiB")?;
            draft.sandbox.log_limit = Some(parsed(node, &limit, parse_size)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.sandbox.log_limit, flags.sandbox.log_limit.take()),
        write: |manifest| manifest.sandbox.log_limit.map(Value::from),
        recipe: Recipe::Omits,
    },
];

fn path_schema() -> Value {
    json!({"type": "string", "pattern": "^/"})
}

fn ulimits_schema() -> Value {
    let limit = json!({"type": "integer", "minimum": -1});
    let both = json!({
        "type": "object",
        "properties": {"soft": limit, "hard": limit},
        "required": ["soft", "hard"],
        "additionalProperties": false,
    });
    let limits: Map<_, _> =
        ULIMITS.iter().map(|name| ((*name).to_owned(), json!({"anyOf": [limit, both]}))).collect();
    json!({"type": "object", "properties": limits, "additionalProperties": false})
}

fn read_words(node: &TextNode) -> Result<Vec<String>, Error> {
    let mut words = Vec::new();
    for item in list(node, "entrypoint", "a list of words")? {
        words.push(scalar_text(item, "entrypoint", "words")?);
    }
    match words.is_empty() {
        true => Err(node.error("`entrypoint` is empty; leave it out for the image's own")),
        false => Ok(words),
    }
}

fn read_tmpfs(node: &TextNode) -> Result<Vec<Tmpfs>, Error> {
    let items = list(node, "tmpfs", "a list of paths, such as [/scratch:1GiB]")?;
    items.iter().map(|item| parsed(item, &text(item, "tmpfs")?, str::parse)).collect()
}

fn read_groups(node: &TextNode) -> Result<Vec<u32>, Error> {
    let items = list(node, "groups", "a list of group ids, such as [1001]")?;
    items.iter().map(|item| Ok(number(item, "groups", 0, u32::MAX.into())? as u32)).collect()
}

fn read_ulimits(node: &TextNode) -> Result<BTreeMap<String, (i64, i64)>, Error> {
    let mut ulimits = BTreeMap::new();
    for entry in map(node, "`ulimits`")? {
        let name = entry.name.as_str();
        let key = format!("ulimits.{name}");
        let limits = match &entry.node.kind {
            NodeKind::Map(entries) => {
                let of = |wanted: &str| {
                    let found = entries.iter().find(|entry| entry.name == wanted);
                    let found =
                        found.ok_or_else(|| entry.node.error(format!("`{key}` has no `{wanted}`")))?;
                    number(&found.node, &format!("{key}.{wanted}"), -1, i64::MAX)
                };
                if let Some(other) =
                    entries.iter().find(|entry| !["soft", "hard"].contains(&entry.name.as_str()))
                {
                    return Err(unknown_key(other, &key, ["soft", "hard"]));
                }
                (of("soft")?, of("hard")?)
            }
            _ => {
                let limit = number(&entry.node, &key, -1, i64::MAX)?;
                (limit, limit)
            }
        };
        check_ulimit(name, limits).map_err(|error| error.or_at(Some(&entry.place)))?;
        ulimits.insert(name.to_owned(), limits);
    }
    Ok(ulimits)
}
