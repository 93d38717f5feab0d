//! The value of a key as a type, or the mistake with its place: what stands there, and what would be right.

use serde_json::{Map, Value};

use super::document::{MapEntry, NodeKind, TextNode};
use super::error::{Error, suggestion};
use crate::parameters::Parameters;
use crate::scalar as word;

pub(super) fn map<'n>(node: &'n TextNode, what: &str) -> Result<&'n [MapEntry], Error> {
    match &node.kind {
        NodeKind::Map(entries) => Ok(entries),
        _ => Err(node.error(format!("{what} is {}; write a map: key: value", node.describe()))),
    }
}

/// What is said of a key that is none of those that a map may have.
pub(super) fn unknown_key<'k>(
    entry: &MapEntry,
    owner: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Error {
    let hint = suggestion(&entry.name, known, "keys there");
    Error::new(format!("unknown key `{}` in `{owner}`{hint}", entry.name)).or_at(Some(&entry.place))
}

pub(super) fn list<'n>(node: &'n TextNode, key: &str, what: &str) -> Result<&'n [TextNode], Error> {
    match &node.kind {
        NodeKind::List(items) => Ok(items),
        _ => Err(node.error(format!("`{key}` is {}; write {what}", node.describe()))),
    }
}

pub(super) fn text(node: &TextNode, key: &str) -> Result<String, Error> {
    match &node.kind {
        NodeKind::Text(text) => Ok(text.clone()),
        NodeKind::Int(_) | NodeKind::Float(_) | NodeKind::Bool(_) => {
            let written = node.written.clone().unwrap_or_default();
            Err(node.error(format!("`{key}` is {}; write a text: \"{written}\"", node.describe())))
        }
        _ => Err(node.error(format!("`{key}` is {}; write a text", node.describe()))),
    }
}

/// A text, or a number or boolean as it is written.
pub(super) fn scalar_text(node: &TextNode, key: &str, what: &str) -> Result<String, Error> {
    match (&node.kind, &node.written) {
        (NodeKind::Text(text), _) => Ok(text.clone()),
        (NodeKind::Int(_) | NodeKind::Float(_) | NodeKind::Bool(_), Some(written)) => Ok(written.clone()),
        (NodeKind::Int(value), None) => Ok(value.to_string()),
        (NodeKind::Float(value), None) => Ok(Value::from(*value).to_string()),
        (NodeKind::Bool(value), None) => Ok(value.to_string()),
        (NodeKind::Null | NodeKind::List(_) | NodeKind::Map(_), _) => {
            Err(node.error(format!("`{key}` is {}; write {what}", node.describe())))
        }
    }
}

pub(super) fn number(node: &TextNode, key: &str, least: i64, most: i64) -> Result<i64, Error> {
    match node.kind {
        NodeKind::Int(value) if (least..=most).contains(&value) => Ok(value),
        _ => Err(node
            .error(format!("`{key}` is {}; write a whole number from {least} to {most}", node.describe()))),
    }
}

pub(super) fn parsed<T>(
    node: &TextNode,
    text: &str,
    parse: impl Fn(&str) -> Result<T, Error>,
) -> Result<T, Error> {
    parse(text).map_err(|error| error.or_at(Some(&node.place)))
}

pub(super) fn checked<T, U>(
    node: &TextNode,
    value: T,
    check: impl Fn(T) -> Result<U, Error>,
) -> Result<U, Error> {
    check(value).map_err(|error| error.or_at(Some(&node.place)))
}

pub(super) fn scalar(node: &TextNode, name: &str) -> Result<Value, Error> {
    match &node.kind {
        NodeKind::Bool(value) => Ok((*value).into()),
        NodeKind::Int(_) | NodeKind::Float(_) => {
            let written = node.written.as_deref().unwrap_or_default();
            word::number(written).map(Value::Number).ok_or_else(|| {
                let plain = node.describe().replace("the number ", "");
                node.error(format!(
                    "the number {written} of `{name}` can't be passed on as it is written; write {plain}, or \"{written}\" \
                     for the text"
                ))
            })
        }
        NodeKind::Text(text) => Ok(text.as_str().into()),
        _ => Err(node.error(format!(
            "a value of `{name}` is {}; a parameter is a number, a text or a boolean",
            node.describe()
        ))),
    }
}

pub(super) fn parameters(node: &TextNode, owner: &str) -> Result<Parameters, Error> {
    let mut map_of = Map::new();
    for entry in map(node, &format!("an entry of `{owner}`"))? {
        map_of.insert(entry.name.clone(), scalar(&entry.node, &entry.name)?);
    }
    Parameters::new(map_of).map_err(|error| node.error(error.to_string()))
}
