//! The value of a key as a type, or the mistake with its place: what stands there, and what would be right.

use serde_json::{Map, Value};

use super::document::{Entry, Kind, Node};
use super::error::Error;
use crate::parameters::Parameters;
use crate::scalar as word;

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

pub(super) fn parsed<T>(
    node: &Node,
    text: &str,
    parse: impl Fn(&str) -> Result<T, Error>,
) -> Result<T, Error> {
    parse(text).map_err(|error| error.or_at(Some(&node.place)))
}

pub(super) fn checked<T, U>(
    node: &Node,
    value: T,
    check: impl Fn(T) -> Result<U, Error>,
) -> Result<U, Error> {
    check(value).map_err(|error| error.or_at(Some(&node.place)))
}

pub(super) fn scalar(node: &Node, name: &str) -> Result<Value, Error> {
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

pub(super) fn parameters(node: &Node, owner: &str) -> Result<Parameters, Error> {
    let mut map_of = Map::new();
    for entry in map(node, &format!("an entry of `{owner}`"))? {
        map_of.insert(entry.name.clone(), scalar(&entry.node, &entry.name)?);
    }
    Parameters::new(map_of).map_err(|error| node.error(error.to_string()))
}
