//! The key `select`: which of a window's training jobs is tested.

use serde_json::{Value, json};

use super::choice::Goal;
use super::definition::Select;
use super::document::TextNode;
use super::error::Error;
use super::values::{map, text, unknown_key};
use crate::metrics;

pub(super) fn read(node: &TextNode) -> Result<Select, Error> {
    let entries = map(node, "`select`")?;
    let [entry] = entries else {
        return Err(
            node.error("`select` names one metric; write {maximize: sharpe} or {minimize: max_drawdown}")
        );
    };
    let goal =
        entry.name.parse::<Goal>().map_err(|_| unknown_key(entry, "select", Goal::NAMES.iter().copied()))?;
    let metric = text(&entry.node, &format!("select.{}", entry.name))?;
    metrics::check_name(&metric).map_err(|error| entry.node.error(format!("`select`: {error}")))?;
    Ok(Select { metric, goal })
}

pub(super) fn write(select: &Select) -> Value {
    json!({select.goal.name(): select.metric})
}

pub(super) fn schema() -> Value {
    let metric = json!({"type": "string", "minLength": 1});
    json!({
        "type": "object",
        "properties": {"maximize": metric, "minimize": metric},
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use crate::manifest::{Format, Goal, Manifest};

    const WINDOWS: &str = "windows: { train: 1y, test: 1y, from: 2005-01-01, to: 2008-01-01 }";

    fn read(line: &str) -> Result<Manifest, super::Error> {
        let text = format!("image: x\n{line}\n{WINDOWS}\n");
        Manifest::parse(text.as_bytes(), Format::Yaml, "s.yaml")?.finish()
    }

    #[test]
    fn it_travels() {
        let manifest = read("select: { minimize: max_drawdown }").unwrap();
        let select = manifest.select.as_ref().unwrap();
        assert_eq!((select.metric.as_str(), select.goal), ("max_drawdown", Goal::Minimize));
        assert_eq!(Manifest::from_json(&manifest.to_json()).unwrap(), manifest);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (line, place, part) in [
            ("select: { maximise: sharpe }", "2:11", "did you mean `maximize`?"),
            ("select: { maximize: a, minimize: b }", "2:9", "names one metric"),
            ("select: {}", "2:9", "names one metric"),
            ("select: sharpe", "2:9", "write a map"),
            ("select: { maximize: [a] }", "2:21", "write a text"),
            ("select: { maximize: '' }", "2:21", "empty name"),
        ] {
            let error = read(line).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("s.yaml:{place}: ")) && error.contains(part),
                "{line}: {error}"
            );
        }
        let alone = Manifest::parse(b"image: x\nselect: { maximize: a }\n", Format::Yaml, "s.yaml");
        let error = alone.unwrap().finish().unwrap_err().to_string();
        assert!(error.starts_with("s.yaml:2:9: ") && error.contains("no `windows`"), "{error}");
    }
}
