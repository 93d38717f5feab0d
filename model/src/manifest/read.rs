//! From the tree of a text to a [`Draft`]: every key, its type and its bounds. A mistake has the place where it stands.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::document::{Entry, Kind, Node};
use super::draft::Draft;
use super::error::{Error, suggestion};
use super::matrix::{Axis, Matrix};
use super::range::Range;
use super::size::{parse_cpus, parse_size, parse_timeout};
use super::{Needs, Sample, algorithm, check, goals, policy, reported, sandbox};
use crate::parameters::Parameters;
use crate::scalar as word;

pub(super) const KEYS: [&str; 40] = [
    "name",
    "image",
    "command",
    "env",
    "matrix",
    "params",
    "params_from",
    "where",
    "sample",
    "volumes",
    "resources",
    "timeout",
    "retries",
    "retry_on",
    "max_parallel",
    "limits",
    "canary",
    "keep",
    "priority",
    "agents",
    "network",
    "on_disconnect",
    "user",
    "results",
    "metrics",
    "goals",
    "timezone",
    "entrypoint",
    "working_dir",
    "stop_signal",
    "stop_grace",
    "platform",
    "pull",
    "pids",
    "ulimits",
    "tmpfs",
    "groups",
    "cache",
    "log_limit",
    "containers",
];
/// What docker's `--gpus all` would mean differs from machine to machine.
pub const ALL_GPUS: &str =
    "`gpus` is `all`, which differs from machine to machine; write how many each job needs";
const NEED_KEYS: [&str; 8] = ["cpus", "cpu_millicore", "memory", "memory_gb", "gpus", "gpu", "shm", "disk"];
/// What stands in the place of rows that travel apart.
pub(super) const ROWS_APART: &str = "rows";

/// Reads a manifest, in our form or in that of an algorithm's.
pub(super) fn read(root: &Node) -> Result<Draft, Error> {
    if let Kind::Map(entries) = &root.kind
        && let Some(entry) = entries.iter().find(|entry| entry.name == "container_parameters")
    {
        return algorithm::read(entries, entry);
    }
    let entries = match &root.kind {
        Kind::Null => return Err(root.error("the manifest is empty; it needs an `image` at least")),
        _ => map(root, "the manifest")?,
    };
    let mut draft = Draft::default();
    check_aliases(entries)?;
    for entry in entries {
        read_key(&mut draft, entry)?;
    }
    check_alternatives(entries)?;
    Ok(draft)
}

fn read_key(draft: &mut Draft, entry: &Entry) -> Result<(), Error> {
    let node = &entry.node;
    let key = sandbox::canonical(&entry.name);
    if !KEYS.contains(&key) {
        let hint = suggestion(key, KEYS, "keys");
        return Err(Error::new(format!("unknown key `{key}`{hint}")).or_at(Some(&entry.place)));
    }
    draft.places.put(key, node.place.clone());
    if draft.sandbox.read(entry)? {
        return Ok(());
    }
    match key {
        "name" => draft.name = Some(checked(node, text(node, key)?, check::name)?),
        "image" => draft.image = Some(checked(node, text(node, key)?, check::image)?),
        "command" => draft.command = Some(command(draft, node)?),
        "env" => draft.env = env(draft, node)?,
        "matrix" => draft.matrix = Some(matrix(draft, node)?),
        "params" => draft.params = Some(params(draft, node)?),
        "params_from" => draft.params_from = Some(text(node, key)?),
        "where" => draft.filter = Some(filter(node)?),
        "sample" => draft.sample = Some(sample(node)?),
        "volumes" => draft.volumes = volumes(draft, node)?,
        "resources" => draft.needs = needs(node)?,
        "timeout" => {
            draft.timeout = Some(parsed(node, &scalar_text(node, key, "a time such as 15m")?, parse_timeout)?)
        }
        "retries" => draft.policy.retries = policy::read_retries(node)?,
        "retry_on" => draft.policy.retry_on = Some(policy::read_retry_on(node)?),
        "max_parallel" => draft.policy.max_parallel = Some(count(node, key)?),
        "limits" => draft.policy.limits = policy::read_limits(node)?,
        "canary" => draft.policy.canary = Some(count(node, key)?),
        "keep" => {
            let keep = scalar_text(node, key, "a time such as 30d, or forever")?;
            draft.policy.keep = Some(parsed(node, &keep, str::parse)?);
        }
        "priority" => draft.priority = Some(number(node, key, -1000, 1000)? as i32),
        "agents" => draft.agents = agents(node)?,
        "network" => draft.network = Some(parsed(node, &text(node, key)?, str::parse)?),
        "on_disconnect" => draft.on_disconnect = Some(parsed(node, &text(node, key)?, str::parse)?),
        "user" => draft.user = Some(user(node)?),
        "results" => draft.results = Some(checked(node, text(node, key)?, check::results)?),
        "goals" => draft.goals = goals::read(node)?,
        "metrics" => (draft.metrics, draft.require) = reported::read(node)?,
        _ => draft.timezone = Some(checked(node, text(node, key)?, check::timezone)?),
    }
    Ok(())
}

fn count(node: &Node, key: &str) -> Result<u32, Error> {
    Ok(number(node, key, 1, i64::from(policy::MAX_PARALLEL))? as u32)
}

/// A key under its name here and under the one it has elsewhere.
fn check_aliases(entries: &[Entry]) -> Result<(), Error> {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for entry in entries {
        if let Some(other) = names.insert(sandbox::canonical(&entry.name), &entry.name) {
            let message = format!("both `{other}` and `{}` are given; one is enough", entry.name);
            return Err(Error::new(message).or_at(Some(&entry.place)));
        }
    }
    Ok(())
}

fn check_alternatives(entries: &[Entry]) -> Result<(), Error> {
    let mut given =
        entries.iter().filter(|entry| ["matrix", "params", "params_from"].contains(&entry.name.as_str()));
    match (given.next(), given.next()) {
        (Some(first), Some(second)) => Err(Error::new(format!(
            "both `{}` and `{}` are given; the jobs come from one of matrix, params, params_from",
            first.name, second.name
        ))
        .or_at(Some(&second.place))),
        _ => Ok(()),
    }
}

fn command(draft: &mut Draft, node: &Node) -> Result<Vec<String>, Error> {
    if let Kind::Text(line) = &node.kind {
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

fn env(draft: &mut Draft, node: &Node) -> Result<BTreeMap<String, String>, Error> {
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

fn matrix(draft: &mut Draft, node: &Node) -> Result<Matrix, Error> {
    let mut matrix = Matrix::default();
    for entry in map(node, "`matrix`")? {
        let name = entry.name.as_str();
        let path = format!("matrix.{name}");
        match name {
            "include" | "exclude" => {
                let mut entries = Vec::new();
                for item in list(&entry.node, name, "a list of maps")? {
                    draft.places.put(format!("{path}.{}", entries.len()), item.place.clone());
                    entries.push(parameters(item, name)?);
                }
                match name {
                    "include" => matrix.include = entries,
                    _ => matrix.exclude = entries,
                }
            }
            _ => {
                draft.places.put(path, entry.place.clone());
                let axis = axis(name, &entry.node)?;
                matrix.axes.push((name.to_owned(), axis));
            }
        }
    }
    matrix.check().map_err(|(path, error)| error.or_at(draft.places.of(&path)))?;
    Ok(matrix)
}

fn axis(name: &str, node: &Node) -> Result<Axis, Error> {
    match &node.kind {
        Kind::List(items) => {
            let values = items.iter().map(|item| scalar(item, name));
            let values = values.collect::<Result<_, _>>()?;
            Axis::values(name, values).map_err(|error| error.or_at(Some(&node.place)))
        }
        Kind::Map(entries) => {
            if let [entry] = &entries[..]
                && entry.name == "values"
                && matches!(entry.node.kind, Kind::List(_))
            {
                return axis(name, &entry.node);
            }
            range(name, node, entries).map(Axis::Range)
        }
        _ => Err(node.error(format!(
            "the axis `{name}` is {}; write a list, such as [{}], or a range, such as {{from: 1, to: 10, step: 1}}",
            node.describe(),
            node.written.clone().unwrap_or_else(|| "5, 10, 20".to_owned()),
        ))),
    }
}

fn range(name: &str, node: &Node, entries: &[Entry]) -> Result<Range, Error> {
    let keys = ["from", "to", "step"];
    let mut parts = BTreeMap::new();
    for entry in entries {
        if !keys.contains(&entry.name.as_str()) {
            let hint = suggestion(&entry.name, keys, "keys of a range");
            let message = format!("unknown key `{}` in the axis `{name}`{hint}", entry.name);
            return Err(Error::new(message).or_at(Some(&entry.place)));
        }
        parts.insert(entry.name.as_str(), range_part(&entry.node, name)?);
    }
    let part = |key| {
        parts.get(key).ok_or_else(|| {
            node.error(format!("the range of `{name}` has no `{key}`; write {{from: 1, to: 10, step: 1}}"))
        })
    };
    Range::parse(name, part("from")?, part("to")?, parts.get("step"))
        .map_err(|error| error.or_at(Some(&node.place)))
}

/// An end or a step: its spelling reaches no job.
fn range_part(node: &Node, name: &str) -> Result<Value, Error> {
    match node.written.as_deref().and_then(word::range_number) {
        Some(number) => Ok(Value::Number(number)),
        None => match node.kind {
            Kind::Int(value) => Ok(value.into()),
            Kind::Float(value) => Ok(value.into()),
            _ => scalar(node, name),
        },
    }
}

fn params(draft: &mut Draft, node: &Node) -> Result<Vec<Parameters>, Error> {
    if matches!(&node.kind, Kind::Text(text) if text == ROWS_APART) {
        return Ok(Vec::new());
    }
    let items = list(node, "params", "a list of maps, one for each job")?;
    if items.is_empty() {
        return Err(
            node.error("`params` is empty, so there are no jobs; give a map of parameters for each job")
        );
    }
    let mut rows = Vec::with_capacity(items.len());
    for item in items {
        // Places of rows by the million would be the larger part of them.
        if rows.len() < 1000 {
            draft.places.put(format!("params.{}", rows.len()), item.place.clone());
        }
        rows.push(parameters(item, "params")?);
    }
    Ok(rows)
}

fn filter(node: &Node) -> Result<String, Error> {
    if let Kind::Bool(value) = node.kind {
        return Ok(value.to_string());
    }
    let expression = text(node, "where")?;
    if expression.trim().is_empty() {
        return Err(node.error("`where` is empty; write an expression such as fast < slow, or leave it out"));
    }
    Ok(expression)
}

fn sample(node: &Node) -> Result<Sample, Error> {
    if let Kind::Int(_) = node.kind {
        let count = number(node, "sample", 1, i64::from(super::MAX_JOBS))?;
        return Ok(Sample { count: count as u32, seed: 0 });
    }
    let mut count = None;
    let mut seed = 0;
    for entry in map(node, "`sample`")? {
        match entry.name.as_str() {
            "count" => count = Some(number(&entry.node, "sample.count", 1, i64::from(super::MAX_JOBS))?),
            "seed" => seed = number(&entry.node, "sample.seed", 0, i64::MAX)?,
            unknown => {
                let hint = suggestion(unknown, ["count", "seed"], "keys of `sample`");
                let message = format!("unknown key `{unknown}` in `sample`{hint}");
                return Err(Error::new(message).or_at(Some(&entry.place)));
            }
        }
    }
    let count = count.ok_or_else(|| node.error("`sample` has no `count`; write {count: 500, seed: 7}"))?;
    Ok(Sample { count: count as u32, seed: seed as u64 })
}

fn volumes(draft: &mut Draft, node: &Node) -> Result<Vec<super::VolumeMount>, Error> {
    let mut volumes = Vec::new();
    for item in list(node, "volumes", "a list of name:/path")? {
        draft.places.put(format!("volumes.{}", volumes.len()), item.place.clone());
        volumes.push(parsed(item, &text(item, "volumes")?, str::parse)?);
    }
    Ok(volumes)
}

fn needs(node: &Node) -> Result<Needs, Error> {
    read_needs(map(node, "`resources`")?, "resources")
}

/// Reads resources under our names or an algorithm's; `owner` is the key they stand under.
pub(super) fn read_needs(entries: &[Entry], owner: &str) -> Result<Needs, Error> {
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
            "gpus" | "gpu" if matches!(&node.kind, Kind::Text(text) if text.trim() == "all") => {
                return Err(node.error(ALL_GPUS));
            }
            "gpus" | "gpu" => needs.gpus = Some(number(node, &path, 0, 1024)? as u32),
            "shm" => needs.shm_bytes = Some(checked(node, size("a size such as 64MiB")?, check::shm)?),
            "disk" => needs.disk_bytes = Some(checked(node, size("a size such as 2GiB")?, check::disk)?),
            unknown => {
                let hint = suggestion(unknown, NEED_KEYS, "keys there");
                let message = format!("unknown key `{unknown}` in `{owner}`{hint}");
                return Err(Error::new(message).or_at(Some(&entry.place)));
            }
        }
    }
    Ok(needs)
}

fn agents(node: &Node) -> Result<BTreeMap<String, String>, Error> {
    let mut labels = BTreeMap::new();
    for entry in map(node, "`agents`")? {
        let value = scalar_text(&entry.node, &format!("agents.{}", entry.name), "a label's value")?;
        check::label(&entry.name, &value).map_err(|error| error.or_at(Some(&entry.place)))?;
        labels.insert(entry.name.clone(), value);
    }
    Ok(labels)
}

fn user(node: &Node) -> Result<super::JobUser, Error> {
    // YAML 1.1's base 60 is not read here, so 1000:1000 is a text already.
    parsed(node, &scalar_text(node, "user", "auto, image, or uid:gid")?, str::parse)
}

fn parameters(node: &Node, owner: &str) -> Result<Parameters, Error> {
    let mut map_of = Map::new();
    for entry in map(node, &format!("an entry of `{owner}`"))? {
        map_of.insert(entry.name.clone(), scalar(&entry.node, &entry.name)?);
    }
    Parameters::new(map_of).map_err(|error| node.error(error.to_string()))
}

fn scalar(node: &Node, name: &str) -> Result<Value, Error> {
    match &node.kind {
        Kind::Bool(value) => Ok((*value).into()),
        Kind::Int(_) | Kind::Float(_) => {
            let written = node.written.as_deref().unwrap_or_default();
            word::number(written).map(Value::Number).ok_or_else(|| {
                let plain = node.describe().replace("the number ", "");
                node.error(format!(
                    "the number {written} of `{name}` can't be passed on as it is written; write {plain}, or \"{written}\" \
                     for the text"
                ))
            })
        }
        Kind::Text(text) => Ok(text.as_str().into()),
        _ => Err(node.error(format!(
            "a value of `{name}` is {}; a parameter is a number, a text or a boolean",
            node.describe()
        ))),
    }
}

pub(super) fn map<'n>(node: &'n Node, what: &str) -> Result<&'n [Entry], Error> {
    match &node.kind {
        Kind::Map(entries) => Ok(entries),
        _ => Err(node.error(format!("{what} is {}; write a map: key: value", node.describe()))),
    }
}

pub(super) fn list<'n>(node: &'n Node, key: &str, what: &str) -> Result<&'n [Node], Error> {
    match &node.kind {
        Kind::List(items) => Ok(items),
        _ => Err(node.error(format!("`{key}` is {}; write {what}", node.describe()))),
    }
}

pub(super) fn text(node: &Node, key: &str) -> Result<String, Error> {
    match &node.kind {
        Kind::Text(text) => Ok(text.clone()),
        Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) => {
            let written = node.written.clone().unwrap_or_default();
            Err(node.error(format!("`{key}` is {}; write a text: \"{written}\"", node.describe())))
        }
        _ => Err(node.error(format!("`{key}` is {}; write a text", node.describe()))),
    }
}

/// A text, or a number or boolean as it is written.
pub(super) fn scalar_text(node: &Node, key: &str, what: &str) -> Result<String, Error> {
    match (&node.kind, &node.written) {
        (Kind::Text(text), _) => Ok(text.clone()),
        (Kind::Int(_) | Kind::Float(_) | Kind::Bool(_), Some(written)) => Ok(written.clone()),
        (Kind::Int(value), None) => Ok(value.to_string()),
        (Kind::Float(value), None) => Ok(Value::from(*value).to_string()),
        (Kind::Bool(value), None) => Ok(value.to_string()),
        (Kind::Null | Kind::List(_) | Kind::Map(_), _) => {
            Err(node.error(format!("`{key}` is {}; write {what}", node.describe())))
        }
    }
}

pub(super) fn number(node: &Node, key: &str, least: i64, most: i64) -> Result<i64, Error> {
    match node.kind {
        Kind::Int(value) if (least..=most).contains(&value) => Ok(value),
        _ => Err(node
            .error(format!("`{key}` is {}; write a whole number from {least} to {most}", node.describe()))),
    }
}

fn parsed<T>(node: &Node, text: &str, parse: impl Fn(&str) -> Result<T, Error>) -> Result<T, Error> {
    parse(text).map_err(|error| error.or_at(Some(&node.place)))
}

pub(super) fn checked<T, U>(
    node: &Node,
    value: T,
    check: impl Fn(T) -> Result<U, Error>,
) -> Result<U, Error> {
    check(value).map_err(|error| error.or_at(Some(&node.place)))
}
