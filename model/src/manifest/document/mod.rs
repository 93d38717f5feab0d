//! A manifest's text as a tree that knows where each part stands, the same for YAML, TOML and JSON.

mod json;
mod lines;
mod toml;
mod yaml;
mod yaml_map;

use std::sync::Arc;

use self::lines::TextLines;
use super::error::{Error, TextPlace};
pub(super) use super::format::Format;
use super::format::utf8;

/// A longer manifest is refused; parameters by the million belong into a file of their own.
pub(super) const MAX_TEXT: usize = 64 << 20;

/// One value of the text.
#[derive(Clone, Debug)]
pub(super) struct TextNode {
    pub(super) place: TextPlace,
    pub(super) kind: NodeKind,
    /// The value as it was written: `1.10` stays `1.10`. Of texts, only YAML's without quotes have it.
    pub(super) written: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) enum NodeKind {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<TextNode>),
    Map(Vec<MapEntry>),
}

#[derive(Clone, Debug)]
pub(super) struct MapEntry {
    pub(super) name: String,
    pub(super) place: TextPlace,
    pub(super) node: TextNode,
}

impl TextNode {
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
            Format::Toml => toml::parse(&TextLines::new(text, &origin)),
            Format::Json => json::parse(&TextLines::new(text, &origin)),
        }
    }

    /// A mistake at this value.
    pub(super) fn error(&self, message: impl Into<String>) -> Error {
        Error::new(message).or_at(Some(&self.place))
    }

    /// What it is, for errors that expected something else.
    pub(super) fn describe(&self) -> String {
        match &self.kind {
            NodeKind::Null => "nothing".to_owned(),
            NodeKind::Bool(value) => format!("`{value}`"),
            NodeKind::Int(value) => format!("the number {value}"),
            NodeKind::Float(value) => format!("the number {value}"),
            NodeKind::Text(text) if text.chars().count() > 40 => {
                format!("the text {:?}...", text.chars().take(40).collect::<String>())
            }
            NodeKind::Text(text) => format!("the text {text:?}"),
            NodeKind::List(_) => "a list".to_owned(),
            NodeKind::Map(_) => "a map".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
