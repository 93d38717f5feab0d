//! From a text to metrics, value by value: no tree of the text is made, whatever it holds.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::spellings::without_non_finite;
use super::{MAX_DEPTH, MetricNames, Metrics, MetricsError, SERIES, joined};
use crate::scalar;

pub(super) fn read(text: &str) -> Result<Metrics, MetricsError> {
    let json = without_non_finite(text);
    let mut into = Reading::default();
    let mut deserializer = serde_json::Deserializer::from_str(&json);
    let top = MetricEntry { into: &mut into, name: "", depth: 0 };
    let read = top.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    match read {
        Ok(()) => Ok(into.metrics),
        Err(error) => Err(MetricsError(match error.is_data() {
            true => error.to_string(),
            false => format!("not JSON: {error}"),
        })),
    }
}

#[derive(Default)]
struct Reading {
    metrics: Metrics,
    seen: MetricNames,
}

/// The value under a name, or all of the text under none.
struct MetricEntry<'i, 'n> {
    into: &'i mut Reading,
    name: &'n str,
    depth: usize,
}

impl MetricEntry<'_, '_> {
    fn number<E: serde::de::Error>(self, number: impl Into<Value>) -> Result<(), E> {
        match self.name {
            "" => self.wrong("a number"),
            name => {
                self.into.metrics.numbers.insert(name.to_owned(), number.into());
                Ok(())
            }
        }
    }

    fn wrong<E: serde::de::Error>(&self, found: &str) -> Result<(), E> {
        Err(E::custom(match self.name {
            "" => format!("{found} where an object of numbers belongs"),
            name => format!("the metric `{name}` is {found}; a metric is a number"),
        }))
    }
}

impl<'de> DeserializeSeed<'de> for MetricEntry<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MetricEntry<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("metrics")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        self.number(number)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.number(number)
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        self.number(number)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        match self.name {
            "" => self.wrong("null"),
            name => {
                self.into.metrics.left_out.push(name.to_owned());
                Ok(())
            }
        }
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.wrong("a boolean")
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.wrong("a text")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        self.wrong("a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut next = map.next_key::<Cow<'de, str>>()?;
        if next.as_deref() == Some(scalar::NUMBER) {
            return self.number(float_of(map.next_value()?)?);
        }
        if self.depth == MAX_DEPTH {
            return Err(A::Error::custom(format!("objects lie more than {MAX_DEPTH} deep, the limit")));
        }
        while let Some(key) = next {
            let name = joined(self.name, &key);
            if key.is_empty() {
                return Err(A::Error::custom("a metric has an empty name"));
            }
            self.into.seen.note(&name).map_err(A::Error::custom)?;
            if name == SERIES {
                map.next_value_seed(AllSeries { seen: &mut self.into.seen })?;
            } else {
                map.next_value_seed(MetricEntry { into: self.into, name: &name, depth: self.depth + 1 })?;
            }
            next = map.next_key()?;
        }
        Ok(())
    }
}

/// A number that is no whole number of 64 bits: it comes as a text.
pub(super) fn float_of<E: serde::de::Error>(text: Cow<'_, str>) -> Result<f64, E> {
    let float = text.parse::<f64>().ok().filter(|float| float.is_finite());
    float.ok_or_else(|| E::custom(format!("the number {text} is out of range")))
}

/// What stands under `series`: an object of lists.
struct AllSeries<'s> {
    seen: &'s mut MetricNames,
}

impl<'de> DeserializeSeed<'de> for AllSeries<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AllSeries<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of named lists under `series`")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let name = joined(SERIES, &key);
            self.seen.note(&name).map_err(A::Error::custom)?;
            map.next_value_seed(Series { name: &name })?;
        }
        Ok(())
    }
}

/// One list, of numbers or of pairs.
struct Series<'n> {
    name: &'n str,
}

impl<'de> DeserializeSeed<'de> for Series<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Series<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of numbers, or of [time, number], as `{}`", self.name)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Point { series: self.name, part: SeriesPart::Element })?.is_some() {}
        Ok(())
    }
}

/// What a series is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SeriesPart {
    /// A number, or a pair.
    Element,
    /// The first of a pair: a number, or a text such as a date.
    Time,
    /// The second of a pair.
    Number,
}

struct Point<'n> {
    series: &'n str,
    part: SeriesPart,
}

impl<'de> DeserializeSeed<'de> for Point<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Point<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.part {
            SeriesPart::Element => "a number or [time, number]",
            SeriesPart::Time => "a time, which is a number or a text,",
            SeriesPart::Number => "a number after the time",
        };
        write!(f, "{what} in `{}`", self.series)
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        match self.part {
            SeriesPart::Time => Err(E::invalid_type(serde::de::Unexpected::Unit, &self)),
            SeriesPart::Element | SeriesPart::Number => Ok(()),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        match self.part {
            SeriesPart::Time => Ok(()),
            SeriesPart::Element | SeriesPart::Number => Err(E::invalid_type(
                serde::de::Unexpected::Str(&text.chars().take(40).collect::<String>()),
                &self,
            )),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        match map.next_key::<Cow<'de, str>>()?.as_deref() {
            Some(scalar::NUMBER) => float_of(map.next_value()?).map(drop),
            _ => Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<(), A::Error> {
        if self.part != SeriesPart::Element {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        }
        let Self { series, .. } = self;
        let time = pair.next_element_seed(Point { series, part: SeriesPart::Time })?;
        let number = pair.next_element_seed(Point { series, part: SeriesPart::Number })?;
        let more = pair.next_element::<IgnoredAny>()?;
        match (time, number, more) {
            (Some(()), Some(()), None) => Ok(()),
            _ => Err(A::Error::custom(format!("a list in `{series}` is not a pair of a time and a number"))),
        }
    }
}
