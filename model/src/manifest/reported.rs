//! The key `metrics`: the file that a job's metrics are in, and those without which it has failed.

use serde_json::{Value, json};

use super::check;
use super::definition::Manifest;
use super::document::{MapEntry, NodeKind, TextNode};
use super::error::{Error, suggestion};
use crate::metrics;

/// No manifest requires more metrics.
const MOST: usize = 1000;

/// Reads a file's path, or a map of `path` and `require`; what is not given is none.
pub(super) fn read(node: &TextNode) -> Result<(Option<String>, Vec<String>), Error> {
    let entries: &[MapEntry] = match &node.kind {
        NodeKind::Map(entries) => entries,
        NodeKind::Text(path) => return Ok((Some(checked_path(node, path)?), Vec::new())),
        _ => {
            return Err(node.error(format!(
                "`metrics` is {}; write a file such as metrics.json, or {{path: metrics.json, require: [sharpe]}}",
                node.describe()
            )));
        }
    };
    let (mut path, mut require) = (None, Vec::new());
    for entry in entries {
        let node = &entry.node;
        match (entry.name.as_str(), &node.kind) {
            ("path", NodeKind::Text(text)) => path = Some(checked_path(node, text)?),
            ("require", NodeKind::List(items)) => {
                for item in items {
                    let NodeKind::Text(name) = &item.kind else {
                        return Err(item.error(format!(
                            "`metrics.require` has {} where a metric's name belongs",
                            item.describe()
                        )));
                    };
                    require.push(name.clone());
                }
                check_required(&require).map_err(|error| error.or_at(Some(&node.place)))?;
            }
            (key @ ("path" | "require"), _) => {
                let right =
                    if key == "path" { "a file such as metrics.json" } else { "a list such as [sharpe]" };
                return Err(node.error(format!("`metrics.{key}` is {}; write {right}", node.describe())));
            }
            (unknown, _) => {
                let hint = suggestion(unknown, ["path", "require"], "keys of `metrics`");
                let message = format!("unknown key `{unknown}` in `metrics`{hint}");
                return Err(Error::new(message).or_at(Some(&entry.place)));
            }
        }
    }
    Ok((path, require))
}

fn checked_path(node: &TextNode, path: &str) -> Result<String, Error> {
    check::metrics(path.to_owned()).map_err(|error| error.or_at(Some(&node.place)))
}

/// Checks the names, wherever they come from.
pub(super) fn check_required(names: &[String]) -> Result<(), Error> {
    if names.len() > MOST {
        return Err(Error::new(format!("`metrics` requires {} metrics; {MOST} are the most", names.len())));
    }
    for (index, name) in names.iter().enumerate() {
        let named = metrics::check_name(name);
        named.map_err(|error| Error::new(format!("`metrics.require`: {error}")))?;
        if names[..index].contains(name) {
            return Err(Error::new(format!("`metrics.require` names `{name}` twice")));
        }
    }
    Ok(())
}

/// What [`read`] reads.
pub(super) fn write(manifest: &Manifest) -> Value {
    match manifest.require.is_empty() {
        true => manifest.metrics.as_str().into(),
        false => json!({"path": manifest.metrics, "require": manifest.require}),
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::{Format, Manifest};

    fn read(metrics: &str) -> Result<Manifest, String> {
        let text = format!("image: x\nmetrics: {metrics}\n");
        let draft = Manifest::parse(text.as_bytes(), Format::Yaml, "s.yaml");
        draft.and_then(|draft| draft.finish()).map_err(|error| error.to_string())
    }

    #[test]
    fn metrics_are_a_file_and_what_must_be_in_it() {
        let manifest = read("{path: m/stats.json, require: [sharpe, dd.max]}").unwrap();
        assert_eq!(manifest.metrics, "m/stats.json");
        assert_eq!(manifest.require, ["sharpe", "dd.max"]);
        assert_eq!(Manifest::from_json(&manifest.to_json()).unwrap().require, manifest.require);
        let manifest = read("{require: [sharpe]}").unwrap();
        assert_eq!(manifest.metrics, "metrics.json");
        assert!(read("m.json").unwrap().require.is_empty());
    }

    #[test]
    fn what_is_no_such_map_is_refused_where_it_stands() {
        let wrong = [
            ("{path: 3}", "s.yaml:2:17: `metrics.path` is"),
            ("{require: sharpe}", "`metrics.require` is"),
            ("{require: [1]}", "where a metric's name belongs"),
            ("{require: [a, a]}", "names `a` twice"),
            ("{require: ['']}", "an empty name"),
            ("{requires: [a]}", "unknown key `requires` in `metrics`; did you mean `require`"),
            ("{path: ../x}", "a file's path below the results directory"),
            ("[a]", "write a file such as metrics.json"),
        ];
        for (text, part) in wrong {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
