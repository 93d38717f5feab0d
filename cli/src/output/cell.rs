//! One value of a list. People get it in units that read well; machines get it in base units: bytes, seconds, RFC 3339.

use std::borrow::Cow;
use std::time::Duration;

use bt_model::progress::percent;
use bt_model::span::of_seconds;
use jiff::Timestamp;
use serde_json::Value;

use super::words;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Cell {
    #[default]
    None,
    Text(String),
    /// A number with the digits that it was written with.
    Number(String),
    Bytes(u64),
    Seconds(f64),
    /// 0 to 1; people read percent.
    Part(f64),
    /// People read the time itself.
    Time(Timestamp),
    /// People read how long ago it was.
    Ago(Timestamp),
    /// A remark for people, such as "not set", where machines get no value.
    Remark(&'static str),
}

impl Cell {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        match text.into() {
            text if text.is_empty() => Self::None,
            text => Self::Text(text),
        }
    }

    pub(crate) fn number(number: impl ToString) -> Self {
        Self::Number(number.to_string())
    }

    pub(crate) fn bytes(bytes: impl Into<Option<u64>>) -> Self {
        bytes.into().map_or(Self::None, Self::Bytes)
    }

    pub(crate) fn seconds(seconds: Option<f64>) -> Self {
        seconds.map_or(Self::None, Self::Seconds)
    }

    pub(crate) fn part(part: Option<f64>) -> Self {
        part.map_or(Self::None, Self::Part)
    }

    pub(crate) fn time(time: Option<Timestamp>) -> Self {
        time.map_or(Self::None, Self::Time)
    }

    pub(crate) fn ago(time: Option<Timestamp>) -> Self {
        time.map_or(Self::None, Self::Ago)
    }

    pub(crate) fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// True if tables align it to the right.
    pub(super) fn is_quantity(&self) -> bool {
        matches!(self, Self::Number(_) | Self::Bytes(_) | Self::Seconds(_) | Self::Part(_) | Self::Ago(_))
    }

    /// The value in base units.
    pub(crate) fn machine(&self) -> Cow<'_, str> {
        match self {
            Self::None | Self::Remark(_) => Cow::Borrowed(""),
            Self::Text(text) | Self::Number(text) => Cow::Borrowed(text),
            Self::Bytes(bytes) => Cow::Owned(bytes.to_string()),
            Self::Seconds(number) | Self::Part(number) => Cow::Owned(number.to_string()),
            Self::Time(time) | Self::Ago(time) => Cow::Owned(time.to_string()),
        }
    }

    /// The value in units that read well.
    pub(crate) fn people(&self) -> Cow<'_, str> {
        match self {
            Self::None => Cow::Borrowed(""),
            Self::Text(text) | Self::Number(text) => Cow::Borrowed(text),
            Self::Bytes(bytes) => Cow::Owned(words::size(*bytes)),
            Self::Seconds(seconds) => Cow::Owned(of_seconds(*seconds)),
            Self::Part(part) => Cow::Owned(percent(*part)),
            Self::Time(time) => Cow::Owned(format!("{time:.0}")),
            Self::Ago(time) => {
                let elapsed = Timestamp::now().duration_since(*time);
                Cow::Owned(words::span(Duration::try_from(elapsed).unwrap_or_default()))
            }
            Self::Remark(remark) => Cow::Borrowed(remark),
        }
    }
}

impl From<&Value> for Cell {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::None,
            Value::Number(number) => Self::Number(number.to_string()),
            value => Self::text(words::text(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_get_base_units_and_people_get_words() {
        let time: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let cells = [
            Cell::Bytes(45_403_341),
            Cell::Seconds(102.0),
            Cell::Part(0.421),
            Cell::Time(time),
            Cell::Remark("not set"),
        ];
        let machine: Vec<_> = cells.iter().map(Cell::machine).collect();
        assert_eq!(machine, ["45403341", "102", "0.421", "2026-01-02T03:04:05.678Z", ""]);
        let people: Vec<_> = cells.iter().map(Cell::people).collect();
        assert_eq!(people, ["43.3 MiB", "1m 42s", "42 %", "2026-01-02T03:04:05Z", "not set"]);
        assert_eq!(Cell::Ago(time).machine(), "2026-01-02T03:04:05.678Z");
    }
}
