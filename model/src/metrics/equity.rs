//! What a job reports for plots: of its series, the one that says what the account was worth, point by point.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::spellings::without_non_finite;
use super::{MAX_TEXT, MetricsError, SERIES};

/// What an account was worth.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Equity {
    pub points: Vec<SeriesPoint>,
    /// It is made of returns, one upon the other, and begins with 1.
    pub is_compounded: bool,
}

/// A point of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesPoint {
    /// As the job wrote it; empty where it gave none.
    pub time: String,
    pub number: f64,
}

/// Reads `series.equity` of a metrics file, or what `series.returns` makes of 1; none where there is neither.
pub fn equity(text: &[u8]) -> Result<Option<Equity>, MetricsError> {
    if text.len() > MAX_TEXT {
        return Err(MetricsError(format!("it is larger than {MAX_TEXT} bytes, the limit")));
    }
    let text = crate::text::decode(text).map_err(|error| MetricsError(error.to_string()))?;
    let json = without_non_finite(&text);
    let mut found = Curves::default();
    let mut deserializer = serde_json::Deserializer::from_str(&json);
    let top = Level { found: &mut found, is_series: false };
    let read = top.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    read.map_err(|error| MetricsError(error.to_string()))?;
    if !found.equity.is_empty() {
        return Ok(Some(Equity { points: found.equity, is_compounded: false }));
    }
    let mut worth = 1.0;
    for point in &mut found.returns {
        worth *= 1.0 + point.number;
        point.number = worth;
    }
    found.returns.retain(|point| point.number.is_finite());
    Ok((!found.returns.is_empty()).then_some(Equity { points: found.returns, is_compounded: true }))
}

#[derive(Default)]
struct Curves {
    equity: Vec<SeriesPoint>,
    returns: Vec<SeriesPoint>,
}

/// The whole text, or what stands under `series`.
struct Level<'f> {
    found: &'f mut Curves,
    is_series: bool,
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match (self.is_series, &*key) {
                (false, SERIES) => map.next_value_seed(Level { found: self.found, is_series: true })?,
                (true, "equity") => map.next_value_seed(Points { into: &mut self.found.equity })?,
                (true, "returns") => map.next_value_seed(Points { into: &mut self.found.returns })?,
                _ => map.next_value::<IgnoredAny>().map(drop)?,
            }
        }
        Ok(())
    }
}

/// One series. What is no number is left out of it.
struct Points<'f> {
    into: &'f mut Vec<SeriesPoint>,
}

impl<'de> DeserializeSeed<'de> for Points<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Points<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of numbers, or of [time, number]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.into.clear();
        while let Some(value) = list.next_element::<Value>()? {
            let (time, number) = match value {
                Value::Array(pair) => match <[Value; 2]>::try_from(pair) {
                    Ok([Value::String(time), number]) => (time, number),
                    Ok([Value::Number(time), number]) => (time.to_string(), number),
                    _ => return Err(A::Error::custom("a point is a number or [time, number]")),
                },
                number => (String::new(), number),
            };
            if let Some(number) = number.as_f64().filter(|number| number.is_finite()) {
                self.into.push(SeriesPoint { time, number });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Option<(Vec<(String, f64)>, bool)> {
        let equity = equity(text.as_bytes()).unwrap()?;
        let points = equity.points.into_iter().map(|point| (point.time, point.number));
        Some((points.collect(), equity.is_compounded))
    }

    #[test]
    fn equity_is_taken_as_it_is_and_returns_are_compounded() {
        let both = r#"{"sharpe": 1, "a": {"series": {"equity": [9]}}, "series": {"returns": [0.5],
            "equity": [["2020-01-02", 100], ["2020-01-03", NaN], ["2020-01-06", 101.5], [1577923200, 102]]}}"#;
        let (points, compounded) = numbers(both).unwrap();
        let expected = [("2020-01-02", 100.0), ("2020-01-06", 101.5), ("1577923200", 102.0)];
        assert_eq!(points, expected.map(|(time, number)| (time.to_owned(), number)));
        assert!(!compounded);
        let returns = r#"{"series": {"returns": [0.5, null, -0.5, 1]}}"#;
        let (points, compounded) = numbers(returns).unwrap();
        assert_eq!(points.iter().map(|(_, number)| *number).collect::<Vec<_>>(), [1.5, 0.75, 1.5]);
        assert!(compounded);
    }

    #[test]
    fn without_either_there_is_none_and_nonsense_is_an_error() {
        for none in
            ["{}", r#"{"series": null}"#, r#"{"series": {"drawdown": [1]}}"#, r#"{"series": {"equity": []}}"#]
        {
            assert_eq!(numbers(none), None, "{none}");
        }
        for wrong in ["", "{", r#"{"series": {"equity": [[1, 2, 3]]}}"#, r#"{"series": {"equity": 3}}"#] {
            assert!(equity(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
