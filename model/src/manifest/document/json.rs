//! JSON. Each value is found in the text, so that its place and its spelling are known.

use serde_json::value::RawValue;

use super::lines::TextLines;
use super::{MapEntry, NodeKind, TextNode};
use crate::json_object::Fields;
use crate::manifest::error::{Error, TextPlace};
use crate::scalar;

/// Deeper nesting is refused; a manifest needs five levels.
const MAX_DEPTH: usize = 32;

pub(super) fn parse(lines: &TextLines<'_>) -> Result<TextNode, Error> {
    let raw: &RawValue = serde_json::from_str(lines.text()).map_err(|error| {
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(bare, _)| bare);
        Error::new(message).or_at(Some(&TextPlace {
            origin: lines.origin().clone(),
            line: u32::try_from(error.line()).ok(),
            column: u32::try_from(error.column()).ok(),
        }))
    })?;
    node(lines, raw, 0)
}

/// The value and all that is in it; the text was found to be JSON before.
fn node(lines: &TextLines<'_>, raw: &RawValue, depth: usize) -> Result<TextNode, Error> {
    let text = raw.get();
    let start = start_of(lines, text);
    let place = lines.place(start);
    let fails = |message: String| Error::new(message).or_at(Some(&place));
    if depth > MAX_DEPTH {
        return Err(fails(format!("values lie more than {MAX_DEPTH} deep, the limit")));
    }
    let unreadable = |error: serde_json::Error| fails(error.to_string());
    let (kind, is_word) = match text.as_bytes().first() {
        Some(b'{') => {
            let Fields(fields) = serde_json::from_str(text).map_err(unreadable)?;
            (map(lines, fields, depth)?, false)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(unreadable)?;
            let items = items.into_iter().map(|item| node(lines, item, depth + 1));
            (NodeKind::List(items.collect::<Result<_, _>>()?), false)
        }
        Some(b'"') => (NodeKind::Text(serde_json::from_str(text).map_err(unreadable)?), false),
        Some(b't') => (NodeKind::Bool(true), true),
        Some(b'f') => (NodeKind::Bool(false), true),
        Some(b'n') => (NodeKind::Null, true),
        _ => {
            let number = scalar::number(text).ok_or_else(|| {
                let short: String = text.chars().take(40).collect();
                fails(format!("the number {short} is too large for 64 bits; write it as a text, in quotes"))
            })?;
            let kind = match (number.as_i64(), number.as_f64()) {
                (Some(int), _) => NodeKind::Int(int),
                (None, float) => NodeKind::Float(float.unwrap_or_default()),
            };
            (kind, true)
        }
    };
    Ok(TextNode { place, kind, written: is_word.then(|| text.to_owned()) })
}

fn map(lines: &TextLines<'_>, fields: Vec<(String, &RawValue)>, depth: usize) -> Result<NodeKind, Error> {
    let mut entries = Vec::with_capacity(fields.len());
    let mut names = std::collections::HashSet::with_capacity(fields.len());
    for (name, raw) in fields {
        let place = lines.place(key_before(lines.text(), start_of(lines, raw.get())));
        if !names.insert(name.clone()) {
            let message = format!("the key `{name}` stands twice; leave one of them out");
            return Err(Error::new(message).or_at(Some(&place)));
        }
        entries.push(MapEntry { name, place, node: node(lines, raw, depth + 1)? });
    }
    Ok(NodeKind::Map(entries))
}

/// Where a part of the text begins in it: both are slices of the same bytes.
fn start_of(lines: &TextLines<'_>, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(lines.text().as_ptr() as usize)
}

/// Where the key begins whose value begins there.
fn key_before(text: &str, value: usize) -> usize {
    let before = text.get(..value).unwrap_or_default().trim_end();
    let key = before.strip_suffix(':').unwrap_or(before).trim_end();
    let mut end = key.len().saturating_sub(1);
    while let Some(quote) = key[..end].rfind('"') {
        let escapes = key[..quote].bytes().rev().take_while(|byte| *byte == b'\\').count();
        if escapes.is_multiple_of(2) {
            return quote;
        }
        end = quote;
    }
    value
}
