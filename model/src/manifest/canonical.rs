//! A manifest as JSON between client, coordinator and agent. It is a manifest too: the same reader reads it.

use serde_json::{Map, Value, json};

use super::document::Node;
use super::error::Error;
use super::matrix::{Axis, Matrix};
use super::read::{self, ROWS_APART};
use super::{Draft, Format, JobSource, Manifest};
use super::{goals, reported};
use crate::parameters::Parameters;

/// Names the text in errors: there is no file.
const ORIGIN: &str = "manifest";

pub(super) fn read(text: &str) -> Result<Manifest, Error> {
    let root = Node::parse(text.as_bytes(), Format::Json, ORIGIN)?;
    let draft = Draft { places: Default::default(), ..read::read(&root)? };
    draft.finish_stored()
}

pub(super) fn write(manifest: &Manifest) -> String {
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    put("name", manifest.name.as_str().into());
    put("image", manifest.image.as_str().into());
    put("command", manifest.command.clone().into());
    put("env", json!(manifest.env));
    match &manifest.jobs {
        JobSource::Matrix(matrix) => put("matrix", write_matrix(matrix)),
        JobSource::Rows(_) => put("params", ROWS_APART.into()),
        JobSource::One => None,
    };
    if let Some(filter) = &manifest.filter {
        put("where", filter.as_str().into());
    }
    if let Some(sample) = &manifest.sample {
        put("sample", json!({"count": sample.count, "seed": sample.seed}));
    }
    let volumes: Vec<String> = manifest.volumes.iter().map(ToString::to_string).collect();
    put("volumes", volumes.into());
    put("resources", write_needs(manifest));
    if let Some(timeout) = manifest.timeout {
        put("timeout", humantime::format_duration(timeout).to_string().into());
    }
    put("priority", manifest.priority.into());
    put("agents", json!(manifest.agents));
    put("network", manifest.network.name().into());
    put("on_disconnect", manifest.on_disconnect.name().into());
    put("user", manifest.user.to_string().into());
    put("results", manifest.results.as_str().into());
    put("metrics", reported::write(manifest));
    if !manifest.goals.is_empty() {
        put("goals", goals::write(&manifest.goals));
    }
    if let Some(timezone) = &manifest.timezone {
        put("timezone", timezone.as_str().into());
    }
    manifest.policy.write(&mut map);
    manifest.sandbox.write(&mut map);
    Value::Object(map).to_string()
}

fn write_matrix(matrix: &Matrix) -> Value {
    let mut map = Map::new();
    for (name, axis) in &matrix.axes {
        let value = match axis {
            Axis::Values(values) => Value::Array(values.clone()),
            Axis::Range(range) => {
                let [from, to, step] = range.parts();
                json!({"from": from, "to": to, "step": step})
            }
        };
        map.insert(name.clone(), value);
    }
    for (key, entries) in [("include", &matrix.include), ("exclude", &matrix.exclude)] {
        if !entries.is_empty() {
            let entries = entries.iter().map(Parameters::as_map).cloned().map(Value::Object);
            map.insert(key.to_owned(), Value::Array(entries.collect()));
        }
    }
    Value::Object(map)
}

fn write_needs(manifest: &Manifest) -> Value {
    let needs = manifest.needs;
    let amounts = [
        ("cpu_millicore", needs.cpu_millis),
        ("memory", needs.memory_bytes),
        ("gpus", needs.gpus.map(u64::from)),
        ("shm", needs.shm_bytes),
        ("disk", needs.disk_bytes),
    ];
    let amounts = amounts.into_iter().filter_map(|(key, amount)| Some((key.to_owned(), amount?.into())));
    Value::Object(amounts.collect())
}
