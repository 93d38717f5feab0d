//! From a text to metrics, value by value: no tree of the text is made, whatever it holds.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::series::{AllSeries, Periods};
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
        Ok(()) => Ok(Metrics { returns: into.periods.finish().transpose(), ..into.metrics }),
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
    periods: Periods,
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
                map.next_value_seed(AllSeries {
                    seen: &mut self.into.seen,
                    periods: &mut self.into.periods,
                })?;
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
