//! The keys that say how a sweep's jobs are run as a whole.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::key::{ManifestKey, Recipe, replace};
use super::oom;
use crate::manifest::after;
use crate::manifest::check::MAX_RETRIES;
use crate::manifest::document::{NodeKind, TextNode};
use crate::manifest::error::Error;
use crate::manifest::notify::{self, MAX_RECEIVERS, Receiver};
use crate::manifest::policy::{MAX_LIMIT, MAX_LIMITS, MAX_PARALLEL, Retries, check_limit, parse_reason};
use crate::manifest::size::parse_timeout;
use crate::manifest::values::{list, map, number, parsed, scalar_text, text, unknown_key};
use crate::reason::ReasonKind;
use crate::stop_when;

/// They decide when and how often jobs are tried and what stops them, so no recipe contains them.
pub(super) const KEYS: &[ManifestKey] = &[
    ManifestKey {
        name: "timeout",
        alias: None,
        flags: &["timeout"],
        schema: || json!({"type": ["string", "number"]}),
        read: |draft, node| {
            let time = scalar_text(node, "timeout", "a time such as 15m")?;
            draft.timeout = Some(parsed(node, &time, parse_timeout)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.timeout, flags.timeout.take()),
        write: |manifest| manifest.timeout.map(|time| humantime::format_duration(time).to_string().into()),
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "retries",
        alias: None,
        flags: &["retries"],
        schema: || {
            let count = json!({"type": "integer", "minimum": 0, "maximum": MAX_RETRIES});
            let mut by_kind: Map<_, _> =
                RETRY_KINDS.iter().map(|kind| ((*kind).to_owned(), count.clone())).collect();
            by_kind["oom"] = oom::schema(&count);
            let by_kind = json!({"type": "object", "properties": by_kind, "additionalProperties": false});
            json!({"anyOf": [count, by_kind]})
        },
        read: |draft, node| {
            draft.policy.retries = read_retries(node)?;
            Ok(())
        },
        merge: |file, flags| {
            let (file, flags) = (&mut file.policy.retries, &mut flags.policy.retries);
            [
                replace(&mut file.failures, flags.failures.take()),
                replace(&mut file.oom, flags.oom.take()),
                replace(&mut file.growth, flags.growth.take()),
                replace(&mut file.lost, flags.lost.take()),
                replace(&mut file.preempted, flags.preempted.take()),
            ]
            .contains(&true)
        },
        write: |manifest| {
            let Retries { failures, oom: _, growth: _, lost, preempted } = manifest.policy.retries;
            let of = |count: Option<u32>| count.map(Value::from);
            let oom = oom::write(&manifest.policy.retries);
            let counts = RETRY_KINDS.into_iter().zip([of(failures), oom, of(lost), of(preempted)]);
            let counts = counts.filter_map(|(kind, count)| Some((kind.to_owned(), count?)));
            Some(Value::Object(counts.collect()))
        },
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "retry_on",
        alias: None,
        flags: &["retry-on"],
        schema: || json!({"type": "array", "items": {"enum": ReasonKind::OF_JOBS.map(ReasonKind::name)}}),
        read: |draft, node| {
            draft.policy.retry_on = Some(read_retry_on(node)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.policy.retry_on, flags.policy.retry_on.take()),
        write: |manifest| {
            let kinds = manifest.policy.retry_on.as_ref()?;
            Some(kinds.iter().map(|kind| Value::from(kind.name())).collect())
        },
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: stop_when::KEY,
        alias: None,
        flags: &["stop-when"],
        schema: || json!({"type": "string"}),
        read: |draft, node| {
            draft.policy.stop_when = Some(text(node, stop_when::KEY)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.policy.stop_when, flags.policy.stop_when.take()),
        // Agents of earlier releases do not know the key.
        write: |manifest| manifest.policy.stop_when.as_deref().map(Value::from),
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "max_parallel",
        alias: None,
        flags: &["max-parallel"],
        schema: count_schema,
        read: |draft, node| {
            draft.policy.max_parallel = Some(count(node, "max_parallel")?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.policy.max_parallel, flags.policy.max_parallel.take()),
        write: |manifest| manifest.policy.max_parallel.map(Value::from),
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "limits",
        alias: None,
        flags: &["limit"],
        schema: || {
            let amount = json!({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT});
            json!({"type": "object", "additionalProperties": amount, "maxProperties": MAX_LIMITS})
        },
        read: |draft, node| {
            draft.policy.limits = read_limits(node)?;
            Ok(())
        },
        merge: |file, flags| {
            file.policy.limits.append(&mut flags.policy.limits);
            false
        },
        write: |manifest| {
            let limits = &manifest.policy.limits;
            (!limits.is_empty()).then(|| json!(limits))
        },
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "canary",
        alias: None,
        flags: &["canary"],
        schema: count_schema,
        read: |draft, node| {
            draft.policy.canary = Some(count(node, "canary")?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.policy.canary, flags.policy.canary.take()),
        write: |manifest| manifest.policy.canary.map(Value::from),
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "keep",
        alias: None,
        flags: &["keep"],
        schema: || json!({"type": "string"}),
        read: |draft, node| {
            let keep = scalar_text(node, "keep", "a time such as 30d, or forever")?;
            draft.policy.keep = Some(parsed(node, &keep, str::parse)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.policy.keep, flags.policy.keep.take()),
        write: |manifest| manifest.policy.keep.map(|keep| keep.to_string().into()),
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "notify",
        alias: None,
        flags: &["notify"],
        schema: || {
            let address = json!({"type": "string", "pattern": "^(slack[+])?https?://|^mailto:"});
            json!({"type": "array", "items": address, "maxItems": MAX_RECEIVERS})
        },
        read: |draft, node| {
            draft.policy.notify = Some(notify::read(node)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.policy.notify, flags.policy.notify.take()),
        write: |manifest| {
            let receivers = manifest.policy.receivers();
            (!receivers.is_empty()).then(|| receivers.iter().map(Receiver::written).collect())
        },
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "after",
        alias: None,
        flags: &["after"],
        schema: after::schema,
        read: |draft, node| {
            draft.policy.after = after::read(node)?;
            Ok(())
        },
        merge: |file, flags| {
            let is_set = !flags.policy.after.is_empty();
            if is_set {
                file.policy.after = std::mem::take(&mut flags.policy.after);
            }
            is_set
        },
        // Agents of earlier releases do not know the key.
        write: |manifest| after::write(&manifest.policy.after),
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "preempt",
        alias: None,
        flags: &["preempt"],
        schema: || json!({"type": "boolean"}),
        read: |draft, node| {
            let NodeKind::Bool(preempt) = node.kind else {
                return Err(node.error(format!("`preempt` is {}; write true or false", node.describe())));
            };
            draft.policy.preempt = preempt;
            Ok(())
        },
        merge: |file, flags| {
            file.policy.preempt |= flags.policy.preempt;
            flags.policy.preempt
        },
        // Agents of earlier releases do not know the key.
        write: |manifest| manifest.policy.preempt.then_some(Value::Bool(true)),
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "priority",
        alias: None,
        flags: &["priority"],
        schema: || json!({"type": "integer", "minimum": -1000, "maximum": 1000}),
        read: |draft, node| {
            draft.priority = Some(number(node, "priority", -1000, 1000)? as i32);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.priority, flags.priority.take()),
        write: |manifest| Some(manifest.priority.into()),
        recipe: Recipe::Omits,
    },
];

/// The kinds of failures that retries are counted for.
const RETRY_KINDS: [&str; 4] = ["failures", "oom", "lost", "preempted"];

fn count_schema() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": MAX_PARALLEL})
}

fn count(node: &TextNode, key: &str) -> Result<u32, Error> {
    Ok(number(node, key, 1, i64::from(MAX_PARALLEL))? as u32)
}

/// A number for the job's own failures, or a map with a number for each account.
fn read_retries(node: &TextNode) -> Result<Retries, Error> {
    let most = i64::from(MAX_RETRIES);
    let NodeKind::Map(entries) = &node.kind else {
        let failures = number(node, "retries", 0, most)? as u32;
        return Ok(Retries { failures: Some(failures), ..Retries::default() });
    };
    let mut retries = Retries::default();
    for entry in entries {
        let name = entry.name.as_str();
        let account = match name {
            "failures" => &mut retries.failures,
            "oom" if matches!(entry.node.kind, NodeKind::Map(_)) => {
                let (times, growth) = oom::read(&entry.node)?;
                (retries.oom, retries.growth) = (Some(times), Some(growth));
                continue;
            }
            "oom" => &mut retries.oom,
            "lost" => &mut retries.lost,
            "preempted" => &mut retries.preempted,
            _ => {
                return Err(unknown_key(entry, "retries", RETRY_KINDS));
            }
        };
        *account = Some(number(&entry.node, &format!("retries.{name}"), 0, most)? as u32);
    }
    Ok(retries)
}

fn read_retry_on(node: &TextNode) -> Result<Vec<ReasonKind>, Error> {
    let mut kinds = Vec::new();
    for item in list(node, "retry_on", "a list of reasons, such as [exit, oom]")? {
        let kind = parse_reason(&text(item, "retry_on")?).map_err(|error| error.or_at(Some(&item.place)))?;
        kinds.push(kind);
    }
    Ok(kinds)
}

fn read_limits(node: &TextNode) -> Result<BTreeMap<String, u32>, Error> {
    let mut limits = BTreeMap::new();
    for entry in map(node, "`limits`")? {
        let key = format!("limits.{}", entry.name);
        let amount = number(&entry.node, &key, 1, i64::from(MAX_LIMIT))? as u32;
        check_limit(&entry.name, amount).map_err(|error| error.or_at(Some(&entry.place)))?;
        limits.insert(entry.name.clone(), amount);
    }
    Ok(limits)
}
