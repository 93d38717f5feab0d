//! What stands under `series`: named lists, of which those of returns are kept.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::read::float_of;
use super::{MetricNames, SERIES, joined};
use crate::returns::{MAX_PERIODS, NotReturns, Returns, SeriesKind, time_of_number, time_of_text};
use crate::scalar;

/// The series that a sweep is judged by, as far as they were read.
#[derive(Debug, Default)]
pub(super) struct Periods {
    returns: Option<RawSeries>,
    equity: Option<RawSeries>,
}

#[derive(Debug, Default)]
struct RawSeries {
    periods: Vec<(i64, f64)>,
    /// The first element that has no time that can be read.
    fault: Option<String>,
    /// Elements that came with a time of their own, and without.
    timed: bool,
    bare: bool,
}

impl Periods {
    fn of(&mut self, key: &str) -> Option<&mut RawSeries> {
        match key {
            "returns" => Some(self.returns.insert(RawSeries::default())),
            "equity" => Some(self.equity.insert(RawSeries::default())),
            _ => None,
        }
    }

    /// The returns; where there are none, the differences of the account.
    pub(super) fn finish(self) -> Result<Option<Returns>, NotReturns> {
        let (kind, series) = match (self.returns, self.equity) {
            (Some(returns), _) => (SeriesKind::Returns, returns),
            (None, Some(equity)) => (SeriesKind::Equity, equity),
            (None, None) => return Ok(None),
        };
        let name = match kind {
            SeriesKind::Returns => "series.returns",
            SeriesKind::Equity => "series.equity",
        };
        let read = series.finish(kind).map_err(|error| NotReturns::new(format!("{name}: {error}")))?;
        Ok(Some(read).filter(|returns| !returns.is_empty()))
    }
}

impl RawSeries {
    fn push(&mut self, element: Element) {
        // One more than the limit says that it was passed.
        if self.periods.len() > MAX_PERIODS || self.fault.is_some() {
            return;
        }
        let position = self.periods.len();
        let (time, value) = match element {
            Element::Number(value) => {
                self.bare = true;
                (position as i64, value)
            }
            Element::Pair(Ok(time), value) => {
                self.timed = true;
                (time, value)
            }
            Element::Pair(Err(time), _) | Element::Time(Err(time)) => {
                self.fault = Some(format!("{time} is no date; write 2012-01-03, or 2012-01-03T15:30:00"));
                return;
            }
            Element::Time(Ok(_)) => return,
        };
        self.periods.push((time, value));
    }

    fn finish(self, kind: SeriesKind) -> Result<Returns, NotReturns> {
        if let Some(fault) = self.fault {
            return Err(NotReturns::new(fault));
        }
        if self.timed && self.bare {
            return Err(NotReturns::new("some of its elements have a date and some have none"));
        }
        Returns::of(kind, self.periods)
    }
}

/// An object of lists.
pub(super) struct AllSeries<'s> {
    pub(super) seen: &'s mut MetricNames,
    pub(super) periods: &'s mut Periods,
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
            map.next_value_seed(Series { name: &name, into: self.periods.of(&key) })?;
        }
        Ok(())
    }
}

/// One list, of numbers or of pairs.
struct Series<'n> {
    name: &'n str,
    into: Option<&'n mut RawSeries>,
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

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let keep = self.into.is_some();
        while let Some(element) =
            list.next_element_seed(Point { series: self.name, part: SeriesPart::Element, keep })?
        {
            if let Some(into) = &mut self.into {
                into.push(element);
            }
        }
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

/// A part as it was read; of one that is not kept, anything.
enum Element {
    /// NaN for null.
    Number(f64),
    Time(TimeRead),
    Pair(TimeRead, f64),
}

/// A time, or what stands where one belongs.
type TimeRead = Result<i64, String>;

struct Point<'n> {
    series: &'n str,
    part: SeriesPart,
    keep: bool,
}

impl Point<'_> {
    fn number(&self, number: f64) -> Element {
        match self.part {
            SeriesPart::Time => Element::Time(time_of_number(number).ok_or_else(|| number.to_string())),
            SeriesPart::Element | SeriesPart::Number => Element::Number(number),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Point<'_> {
    type Value = Element;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Element, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Point<'_> {
    type Value = Element;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.part {
            SeriesPart::Element => "a number or [time, number]",
            SeriesPart::Time => "a time, which is a number or a text,",
            SeriesPart::Number => "a number after the time",
        };
        write!(f, "{what} in `{}`", self.series)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Element, E> {
        Ok(self.number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Element, E> {
        Ok(self.number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Element, E> {
        Ok(self.number(number))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Element, E> {
        match self.part {
            SeriesPart::Time => Err(E::invalid_type(serde::de::Unexpected::Unit, &self)),
            SeriesPart::Element | SeriesPart::Number => Ok(Element::Number(f64::NAN)),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Element, E> {
        let short = || text.chars().take(40).collect::<String>();
        match self.part {
            SeriesPart::Time if self.keep => {
                Ok(Element::Time(time_of_text(text).ok_or_else(|| format!("{:?}", short()))))
            }
            SeriesPart::Time => Ok(Element::Time(Ok(0))),
            SeriesPart::Element | SeriesPart::Number => {
                Err(E::invalid_type(serde::de::Unexpected::Str(&short()), &self))
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Element, A::Error> {
        match map.next_key::<Cow<'de, str>>()?.as_deref() {
            Some(scalar::NUMBER) => Ok(self.number(float_of(map.next_value()?)?)),
            _ => Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Element, A::Error> {
        if self.part != SeriesPart::Element {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        }
        let Self { series, keep, .. } = self;
        let time = pair.next_element_seed(Point { series, part: SeriesPart::Time, keep })?;
        let number = pair.next_element_seed(Point { series, part: SeriesPart::Number, keep })?;
        let more = pair.next_element::<IgnoredAny>()?;
        match (time, number, more) {
            (Some(Element::Time(time)), Some(Element::Number(number)), None) => {
                Ok(Element::Pair(time, number))
            }
            _ => Err(A::Error::custom(format!("a list in `{series}` is not a pair of a time and a number"))),
        }
    }
}
