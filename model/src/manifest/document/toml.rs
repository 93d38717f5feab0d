//! TOML.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::lines::TextLines;
use super::{MapEntry, NodeKind, TextNode};
use crate::manifest::error::Error;

pub(super) fn parse(lines: &TextLines<'_>) -> Result<TextNode, Error> {
    let root = DeTable::parse(lines.text()).map_err(|error| {
        let place = error.span().map(|span| lines.place(span.start));
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        Error::new(message).or_at(place.as_ref()).or_in(lines.origin())
    })?;
    let source = TomlReader { lines };
    Ok(TextNode { place: lines.place(0), kind: source.map(root.get_ref())?, written: None })
}

struct TomlReader<'a> {
    lines: &'a TextLines<'a>,
}

impl TomlReader<'_> {
    fn map(&self, table: &DeTable<'_>) -> Result<NodeKind, Error> {
        // The library sorts by name; a matrix' axes have the order in which they are written.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let entries = entries.into_iter().map(|(name, value)| {
            Ok(MapEntry {
                place: self.lines.place(name.span().start),
                name: name.get_ref().to_string(),
                node: self.node(value)?,
            })
        });
        entries.collect::<Result<_, Error>>().map(NodeKind::Map)
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Result<TextNode, Error> {
        let place = self.lines.place(value.span().start);
        let written = self.lines.text().get(value.span()).map(str::to_owned);
        let fails = |message: String| Error::new(message).or_at(Some(&place));
        let (kind, written) = match value.get_ref() {
            DeValue::String(text) => (NodeKind::Text(text.to_string()), None),
            DeValue::Boolean(value) => (NodeKind::Bool(*value), written),
            // Its spelling is the user's: TOML allows a space where others write T.
            DeValue::Datetime(time) => (NodeKind::Text(written.unwrap_or_else(|| time.to_string())), None),
            DeValue::Integer(number) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix());
                let int = parsed.map_err(|_| {
                    fails(format!(
                        "the number {number} is too large for 64 bits; write it as a text in quotes"
                    ))
                })?;
                (NodeKind::Int(int), written)
            }
            DeValue::Float(number) => {
                let float = number.as_str().parse::<f64>().ok().filter(|float| float.is_finite());
                let float = float.ok_or_else(|| {
                    fails(format!(
                        "{number} is not a finite number; write a text in quotes, if that is meant"
                    ))
                })?;
                (NodeKind::Float(float), written)
            }
            DeValue::Array(items) => {
                let items = items.iter().map(|item| self.node(item));
                (NodeKind::List(items.collect::<Result<_, _>>()?), None)
            }
            DeValue::Table(table) => (self.map(table)?, None),
        };
        Ok(TextNode { place, kind, written })
    }
}
