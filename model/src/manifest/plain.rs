//! Texts that are no manifests, in the same forms.

use serde_json::{Map, Value};

use super::document::{NodeKind, TextNode};
use super::error::Error;
use super::format::Format;

/// What a text says, without its places.
pub(crate) fn plain_value(text: &[u8], format: Format, origin: &str) -> Result<Value, Error> {
    TextNode::parse(text, format, origin).map(|node| value(&node))
}

fn value(node: &TextNode) -> Value {
    match &node.kind {
        NodeKind::Null => Value::Null,
        NodeKind::Bool(value) => Value::from(*value),
        NodeKind::Int(value) => Value::from(*value),
        NodeKind::Float(value) => Value::from(*value),
        NodeKind::Text(text) => Value::from(text.clone()),
        NodeKind::List(items) => items.iter().map(value).collect(),
        NodeKind::Map(entries) => {
            let entries = entries.iter().map(|entry| (entry.name.clone(), value(&entry.node)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
    }
}
