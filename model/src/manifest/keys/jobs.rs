//! The keys that say which jobs there are.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::key::{ManifestKey, Recipe, replace};
use crate::manifest::choice::SampleMethod;
use crate::manifest::definition::{JobSource, MAX_JOBS, Sample};
use crate::manifest::document::{MapEntry, NodeKind, TextNode};
use crate::manifest::draft::Draft;
use crate::manifest::error::{Error, suggestion};
use crate::manifest::matrix::{Axis, Matrix};
use crate::manifest::range::Range;
use crate::manifest::values::{list, map, number, parameters, parsed, scalar, text};
use crate::manifest::{select, volume_axis, windows};
use crate::parameters::Parameters;
use crate::scalar as word;

/// What stands in the place of rows that travel apart.
const ROWS_APART: &str = "rows";

/// A job's parameters are compared by themselves, so no recipe contains where they are from.
pub(super) const KEYS: &[ManifestKey] = &[
    ManifestKey {
        name: "matrix",
        alias: None,
        flags: &["matrix"],
        schema: matrix_schema,
        read: |draft, node| {
            draft.matrix = Some(read_matrix(draft, node)?);
            Ok(())
        },
        merge: |file, flags| {
            let is_set = flags.matrix.is_some();
            merge_source(file, flags);
            is_set
        },
        write: |manifest| match &manifest.jobs {
            JobSource::Matrix(matrix) => Some(write_matrix(matrix)),
            JobSource::Rows(_) | JobSource::One => None,
        },
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "params",
        alias: None,
        flags: &[],
        schema: || json!({"type": "array", "items": parameters_schema(), "minItems": 1, "maxItems": MAX_JOBS}),
        read: |draft, node| {
            draft.params = Some(read_params(draft, node)?);
            Ok(())
        },
        // Merged with `matrix`.
        merge: |_, _| false,
        write: |manifest| manifest.has_rows().then(|| ROWS_APART.into()),
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "params_from",
        alias: None,
        flags: &["params-from"],
        schema: || json!({"type": "string"}),
        read: |draft, node| {
            draft.params_from = Some(text(node, "params_from")?);
            Ok(())
        },
        // Merged with `matrix`.
        merge: |_, _| false,
        // The rows travel.
        write: |_| None,
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "where",
        alias: None,
        flags: &["where"],
        schema: || json!({"type": ["string", "boolean"]}),
        read: |draft, node| {
            draft.filter = Some(read_filter(node)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.filter, flags.filter.take()),
        write: |manifest| manifest.filter.clone().map(Value::from),
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "sample",
        alias: None,
        flags: &["sample", "seed", "sample-method"],
        schema: || {
            let count = json!({"type": "integer", "minimum": 1, "maximum": MAX_JOBS});
            let seed = json!({"type": "integer", "minimum": 0});
            let both = json!({
                "type": "object",
                "properties": {"count": count, "seed": seed, "method": {"enum": SampleMethod::NAMES}},
                "required": ["count"],
                "additionalProperties": false,
            });
            json!({"anyOf": [count, both]})
        },
        read: |draft, node| {
            draft.sample = Some(read_sample(node)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.sample, flags.sample.take()),
        write: |manifest| {
            manifest.sample.map(|Sample { count, seed, method }| match method {
                SampleMethod::Random => json!({"count": count, "seed": seed}),
                method => json!({"count": count, "seed": seed, "method": method.name()}),
            })
        },
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "windows",
        alias: None,
        flags: &[],
        schema: windows::schema,
        read: |draft, node| {
            draft.windows = Some(windows::read(draft, node)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.windows, flags.windows.take()),
        write: |manifest| manifest.windows.as_ref().map(windows::write),
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "select",
        alias: None,
        flags: &[],
        schema: select::schema,
        read: |draft, node| {
            draft.select = Some(select::read(node)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.select, flags.select.take()),
        write: |manifest| manifest.select.as_ref().map(select::write),
        recipe: Recipe::Omits,
    },
];

fn parameters_schema() -> Value {
    json!({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}})
}

fn matrix_schema() -> Value {
    let value = json!({"type": ["string", "number", "boolean"]});
    let values = json!({"type": "array", "items": value, "minItems": 1});
    let end = json!({"type": ["string", "number"]});
    let range = json!({
        "type": "object",
        "properties": {"from": end, "to": end, "step": end},
        "required": ["from", "to"],
        "additionalProperties": false,
    });
    let named = json!({
        "type": "object",
        "properties": {"values": values},
        "required": ["values"],
        "additionalProperties": false,
    });
    let files = volume_axis::schema(&values);
    let entries = json!({"type": "array", "items": parameters_schema()});
    json!({
        "type": "object",
        "properties": {"include": entries, "exclude": entries},
        "additionalProperties": {"anyOf": [values, range, named, files]},
    })
}

/// Another source of jobs takes the place of the file's; of a matrix, each axis that the flags name.
fn merge_source(file: &mut Draft, flags: &mut Draft) {
    let (matrix, params, params_from) = (flags.matrix.take(), flags.params.take(), flags.params_from.take());
    if matrix.is_none() && params.is_none() && params_from.is_none() {
        return;
    }
    file.matrix = match (file.matrix.take(), matrix) {
        (Some(known), Some(more)) => Some(known.merge(more)),
        (_, more) => more,
    };
    file.params = params;
    file.params_from = params_from;
}

fn read_matrix(draft: &mut Draft, node: &TextNode) -> Result<Matrix, Error> {
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

fn axis(name: &str, node: &TextNode) -> Result<Axis, Error> {
    match &node.kind {
        NodeKind::List(items) => {
            let values = items.iter().map(|item| scalar(item, name));
            let values = values.collect::<Result<_, _>>()?;
            Axis::values(name, values).map_err(|error| error.or_at(Some(&node.place)))
        }
        NodeKind::Map(entries) => {
            if let [entry] = &entries[..]
                && entry.name == "values"
                && matches!(entry.node.kind, NodeKind::List(_))
            {
                return axis(name, &entry.node);
            }
            if volume_axis::is_meant(node) {
                let (from, values) = volume_axis::read(name, node)?;
                return Axis::files(name, from, values).map_err(|error| error.or_at(Some(&node.place)));
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

fn range(name: &str, node: &TextNode, entries: &[MapEntry]) -> Result<Range, Error> {
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
fn range_part(node: &TextNode, name: &str) -> Result<Value, Error> {
    match node.written.as_deref().and_then(word::range_number) {
        Some(number) => Ok(Value::Number(number)),
        None => match node.kind {
            NodeKind::Int(value) => Ok(value.into()),
            NodeKind::Float(value) => Ok(value.into()),
            _ => scalar(node, name),
        },
    }
}

fn write_matrix(matrix: &Matrix) -> Value {
    let mut map = Map::new();
    for (name, axis) in &matrix.axes {
        let value = match axis {
            Axis::Values(values) => Value::Array(values.clone()),
            Axis::Files(from, values) => volume_axis::write(from, values),
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

fn read_params(draft: &mut Draft, node: &TextNode) -> Result<Vec<Parameters>, Error> {
    if matches!(&node.kind, NodeKind::Text(text) if text == ROWS_APART) {
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

fn read_filter(node: &TextNode) -> Result<String, Error> {
    if let NodeKind::Bool(value) = node.kind {
        return Ok(value.to_string());
    }
    let expression = text(node, "where")?;
    if expression.trim().is_empty() {
        return Err(node.error("`where` is empty; write an expression such as fast < slow, or leave it out"));
    }
    Ok(expression)
}

fn read_sample(node: &TextNode) -> Result<Sample, Error> {
    if let NodeKind::Int(_) = node.kind {
        let count = number(node, "sample", 1, i64::from(MAX_JOBS))?;
        return Ok(Sample { count: count as u32, seed: 0, method: SampleMethod::default() });
    }
    let mut count = None;
    let mut seed = 0;
    let mut method = SampleMethod::default();
    for entry in map(node, "`sample`")? {
        match entry.name.as_str() {
            "count" => count = Some(number(&entry.node, "sample.count", 1, i64::from(MAX_JOBS))?),
            "seed" => seed = number(&entry.node, "sample.seed", 0, i64::MAX)?,
            "method" => {
                method = parsed(&entry.node, &text(&entry.node, "sample.method")?, str::parse)?;
            }
            unknown => {
                let hint = suggestion(unknown, ["count", "seed", "method"], "keys of `sample`");
                let message = format!("unknown key `{unknown}` in `sample`{hint}");
                return Err(Error::new(message).or_at(Some(&entry.place)));
            }
        }
    }
    let count = count.ok_or_else(|| node.error("`sample` has no `count`; write {count: 500, seed: 7}"))?;
    Ok(Sample { count: count as u32, seed: seed as u64, method })
}
