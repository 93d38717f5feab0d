//! TOML.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Entry, Kind, Node, place_of_byte};
use crate::manifest::error::{Error, Place};

pub(super) fn parse(text: &str, origin: &Arc<str>) -> Result<Node, Error> {
    let source = Source {
        line_starts: std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect(),
        text,
        origin,
    };
    let root = DeTable::parse(text).map_err(|error| {
        let place = error.span().map(|span| place_of_byte(text, span.start, origin));
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        Error::new(message).or_at(place.as_ref()).or_in(origin)
    })?;
    let place = source.place(0..0);
    Ok(Node { place, kind: source.map(root.get_ref())?, written: None })
}

struct Source<'a> {
    text: &'a str,
    /// The byte at which each line starts.
    line_starts: Vec<usize>,
    origin: &'a Arc<str>,
}

impl Source<'_> {
    fn place(&self, span: Range<usize>) -> Place {
        let line = self.line_starts.partition_point(|start| *start <= span.start);
        let start = self.line_starts[line - 1];
        let column = self.text.get(start..span.start).map(|before| before.chars().count() + 1);
        Place {
            origin: self.origin.clone(),
            line: u32::try_from(line).ok(),
            column: column.and_then(|column| u32::try_from(column).ok()),
        }
    }

    fn map(&self, table: &DeTable<'_>) -> Result<Kind, Error> {
        // The library sorts by name; a matrix' axes have the order in which they are written.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let entries = entries.into_iter().map(|(name, value)| {
            Ok(Entry {
                place: self.place(name.span()),
                name: name.get_ref().to_string(),
                node: self.node(value)?,
            })
        });
        entries.collect::<Result<_, Error>>().map(Kind::Map)
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Result<Node, Error> {
        let place = self.place(value.span());
        let written = self.text.get(value.span()).map(str::to_owned);
        let fails = |message: String| Error::new(message).or_at(Some(&place));
        let (kind, written) = match value.get_ref() {
            DeValue::String(text) => (Kind::Text(text.to_string()), None),
            DeValue::Boolean(value) => (Kind::Bool(*value), written),
            DeValue::Datetime(time) => (Kind::Text(time.to_string()), None),
            DeValue::Integer(number) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix());
                let int = parsed.map_err(|_| fails(format!("the number {number} is too large")))?;
                (Kind::Int(int), written)
            }
            DeValue::Float(number) => {
                let float = number.as_str().parse::<f64>().ok().filter(|float| float.is_finite());
                let float = float.ok_or_else(|| fails(format!("{number} is no finite number")))?;
                (Kind::Float(float), written)
            }
            DeValue::Array(items) => {
                let items = items.iter().map(|item| self.node(item));
                (Kind::List(items.collect::<Result<_, _>>()?), None)
            }
            DeValue::Table(table) => (self.map(table)?, None),
        };
        Ok(Node { place, kind, written })
    }
}
