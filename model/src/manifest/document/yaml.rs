//! YAML, as serde-saphyr reads it, with YAML 1.2's booleans: `no` and `on` are texts.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned, UserMessageFormatter};

use super::{Entry, Kind, Node};
use crate::manifest::error::{Error, Place};

/// Deeper nesting is refused; a manifest needs five levels.
const MAX_DEPTH: usize = 32;
/// More values are refused.
const MAX_VALUES: usize = 4_000_000;

pub(super) fn parse(text: &str, origin: &Arc<str>) -> Result<Node, Error> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_VALUES,
            max_events: 2 * MAX_VALUES,
            max_documents: 1,
        },
    };
    let source = Source { text, origin };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(root) => Ok(source.node(root)),
        Err(error) => Err(source.error(&error)),
    }
}

enum Raw {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

struct Source<'a> {
    text: &'a str,
    origin: &'a Arc<str>,
}

impl Source<'_> {
    fn node(&self, raw: Spanned<Raw>) -> Node {
        let written = match &raw.value {
            Raw::Bool(_) | Raw::Int(_) | Raw::Float(_) => self.slice(raw.defined),
            _ => None,
        };
        let kind = match raw.value {
            Raw::Null => Kind::Null,
            Raw::Bool(value) => Kind::Bool(value),
            Raw::Int(value) => Kind::Int(value),
            Raw::Float(value) => Kind::Float(value),
            Raw::Text(text) => Kind::Text(text),
            Raw::List(items) => Kind::List(items.into_iter().map(|item| self.node(item)).collect()),
            Raw::Map(entries) => Kind::Map(
                entries
                    .into_iter()
                    .map(|(name, value)| Entry {
                        place: self.place(name.referenced),
                        name: name.value,
                        node: self.node(value),
                    })
                    .collect(),
            ),
        };
        Node { place: self.place(raw.referenced), kind, written }
    }

    fn place(&self, location: Location) -> Place {
        let known = location != Location::UNKNOWN;
        let number = |number| u32::try_from(number).ok().filter(|_| known);
        Place {
            origin: self.origin.clone(),
            line: number(location.line()),
            column: number(location.column()),
        }
    }

    fn slice(&self, location: Location) -> Option<String> {
        let start = usize::try_from(location.span().byte_offset()?).ok()?;
        let len = usize::try_from(location.span().byte_len()?).ok()?;
        let slice = self.text.get(start..start.checked_add(len)?)?.trim();
        (!slice.is_empty()).then(|| slice.to_owned())
    }

    fn error(&self, error: &serde_saphyr::Error) -> Error {
        let location = error.location().unwrap_or(Location::UNKNOWN);
        let message = bare_message(error);
        let line = usize::try_from(location.line()).unwrap_or(0);
        let written = line.checked_sub(1).and_then(|at| self.text.lines().nth(at)).unwrap_or("");
        let hint = if has_bare_template(written) {
            "; a template needs quotes: \"{{ name }}\""
        } else if written.trim_start().starts_with('\t') {
            "; YAML wants spaces, not tabs, at the start of a line"
        } else {
            ""
        };
        Error::new(format!("{message}{hint}")).or_at(Some(&self.place(location)))
    }
}

/// The library's message without the place that it appends: the place leads our messages.
fn bare_message(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().render_with_formatter(&UserMessageFormatter);
    let first = text.lines().next().unwrap_or("not YAML");
    let bare = first.rsplit_once(" at line ").map_or(first, |(message, _)| message);
    bare.trim_end_matches([',', ':']).to_owned()
}

/// True when `{{` stands outside quotes.
fn has_bare_template(line: &str) -> bool {
    let mut quote = None;
    let mut previous = ' ';
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c == '{' && previous == '{' => return true,
            None => {}
        }
        previous = c;
    }
    false
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Int(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Raw, E> {
        i64::try_from(value).map(Raw::Int).map_err(|_| {
            E::custom(format!("the number {value} is too large; write it as a text: \"{value}\""))
        })
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(name) = entries.next_key()? {
            map.push((name, entries.next_value()?));
        }
        Ok(Raw::Map(map))
    }
}
