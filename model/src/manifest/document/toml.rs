//! TOML.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::lines::Lines;
use super::{Entry, Kind, Node};
use crate::manifest::error::Error;

pub(super) fn parse(lines: &Lines<'_>) -> Result<Node, Error> {
    let root = DeTable::parse(lines.text()).map_err(|error| {
        let place = error.span().map(|span| lines.place(span.start));
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        Error::new(message).or_at(place.as_ref()).or_in(lines.origin())
    })?;
    let source = Source { lines };
    Ok(Node { place: lines.place(0), kind: source.map(root.get_ref())?, written: None })
}

struct Source<'a> {
    lines: &'a Lines<'a>,
}

impl Source<'_> {
    fn map(&self, table: &DeTable<'_>) -> Result<Kind, Error> {
        // The library sorts by name; a matrix' axes have the order in which they are written.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let entries = entries.into_iter().map(|(name, value)| {
            Ok(Entry {
                place: self.lines.place(name.span().start),
                name: name.get_ref().to_string(),
                node: self.node(value)?,
            })
        });
        entries.collect::<Result<_, Error>>().map(Kind::Map)
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Result<Node, Error> {
        let place = self.lines.place(value.span().start);
        let written = self.lines.text().get(value.span()).map(str::to_owned);
        let fails = |message: String| Error::new(message).or_at(Some(&place));
        let (kind, written) = match value.get_ref() {
            DeValue::String(text) => (Kind::Text(text.to_string()), None),
            DeValue::Boolean(value) => (Kind::Bool(*value), written),
            // Its spelling is the user's: TOML allows a space where others write T.
            DeValue::Datetime(time) => (Kind::Text(written.unwrap_or_else(|| time.to_string())), None),
            DeValue::Integer(number) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix());
                let int = parsed.map_err(|_| {
                    fails(format!(
                        "the number {number} is too large for 64 bits; write it as a text in quotes"
                    ))
                })?;
                (Kind::Int(int), written)
            }
            DeValue::Float(number) => {
                let float = number.as_str().parse::<f64>().ok().filter(|float| float.is_finite());
                let float = float.ok_or_else(|| {
                    fails(format!(
                        "{number} is not a finite number; write a text in quotes, if that is meant"
                    ))
                })?;
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
