//! `retries.oom` as a map: jobs that ran out of memory are tried again with more.

use serde_json::{Value, json};

use crate::manifest::check::MAX_RETRIES;
use crate::manifest::document::TextNode;
use crate::manifest::error::Error;
use crate::manifest::policy::{Retries, USUAL_FACTOR, check_growth};
use crate::manifest::size::parse_size;
use crate::manifest::values::{map, number, parsed, scalar_text, unknown_key};
use crate::retry::Growth;

const KEYS: [&str; 3] = ["times", "factor", "max"];

/// A number of tries with the same memory, or how memory grows.
pub(super) fn schema(count: &Value) -> Value {
    let growing = json!({
        "type": "object",
        "properties": {
            "times": count,
            "factor": {"type": ["string", "number"]},
            "max": {"type": ["string", "number"]},
        },
        "required": ["times"],
        "additionalProperties": false,
    });
    json!({"anyOf": [count, growing]})
}

/// How often, and how memory grows.
pub(super) fn read(node: &TextNode) -> Result<(u32, Growth), Error> {
    let mut times = None;
    let mut growth = Growth { factor: USUAL_FACTOR, max_bytes: None };
    for entry in map(node, "`retries.oom`")? {
        let (name, node) = (entry.name.as_str(), &entry.node);
        let key = format!("retries.oom.{name}");
        match name {
            "times" => times = Some(number(node, &key, 0, i64::from(MAX_RETRIES))? as u32),
            "factor" => {
                let text = scalar_text(node, &key, "a number such as 1.5")?;
                growth.factor = parsed(node, &text, |text| {
                    text.trim()
                        .parse()
                        .map_err(|_| Error::new(format!("{text:?} is no number; write one such as 1.5")))
                })?;
            }
            "max" => {
                let text = scalar_text(node, &key, "a size such as 8GiB")?;
                growth.max_bytes = Some(parsed(node, &text, parse_size)?);
            }
            _ => {
                return Err(unknown_key(entry, "retries.oom", KEYS));
            }
        }
    }
    check_growth(&growth).map_err(|why| node.error(why))?;
    let Some(times) = times else {
        return Err(
            node.error("`retries.oom` has no `times`: write how often at most, as {times: 2, factor: 1.5}")
        );
    };
    Ok((times, growth))
}

pub(super) fn write(retries: &Retries) -> Option<Value> {
    let times = retries.oom?;
    let Some(Growth { factor, max_bytes }) = retries.growth else { return Some(times.into()) };
    let mut written = json!({"times": times, "factor": factor});
    if let Some(max) = max_bytes {
        written["max"] = max.into();
    }
    Some(written)
}
