//! A manifest's text as a tree that knows where each part stands, the same for YAML, TOML and JSON.

mod json;
mod lines;
mod toml;
mod yaml;
mod yaml_map;

use std::sync::Arc;

use self::lines::Lines;
use super::error::{Error, Place};
pub(super) use super::format::Format;
use super::format::utf8;

/// A longer manifest is refused; parameters by the million belong into a file of their own.
pub(super) const MAX_TEXT: usize = 64 << 20;

/// One value of the text.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) kind: Kind,
    /// The value as it was written: `1.10` stays `1.10`. Of texts, only those of YAML that have no quotes.
    pub(super) written: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) node: Node,
}

impl Node {
    /// Parses a whole text.
    pub(super) fn parse(text: &[u8], format: Format, origin: &str) -> Result<Self, Error> {
        if text.len() > MAX_TEXT {
            let message = format!(
                "the manifest is longer than {} MiB; put the parameters into a file and name it in `params_from`",
                MAX_TEXT >> 20
            );
            return Err(Error::new(message).or_in(origin));
        }
        let text = utf8(text, origin)?;
        // Some editors begin a file with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let origin: Arc<str> = origin.into();
        match format {
            Format::Yaml => yaml::parse(text, &origin),
            Format::Toml => toml::parse(&Lines::new(text, &origin)),
            Format::Json => json::parse(&Lines::new(text, &origin)),
        }
    }

    /// A mistake at this value.
    pub(super) fn error(&self, message: impl Into<String>) -> Error {
        Error::new(message).or_at(Some(&self.place))
    }

    /// What it is, for errors that expected something else.
    pub(super) fn describe(&self) -> String {
        match &self.kind {
            Kind::Null => "nothing".to_owned(),
            Kind::Bool(value) => format!("`{value}`"),
            Kind::Int(value) => format!("the number {value}"),
            Kind::Float(value) => format!("the number {value}"),
            Kind::Text(text) if text.chars().count() > 40 => {
                format!("the text {:?}...", text.chars().take(40).collect::<String>())
            }
            Kind::Text(text) => format!("the text {text:?}"),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a map".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
