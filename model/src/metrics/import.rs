//! Numbers out of files that other programs write in forms of their own.
//!
//! Without mappings every number is taken, under the names of what it lies in joined by `.`; with mappings those that are
//! mapped and no others, and then from texts such as `12.5%` too.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::read::float_of;
use super::spellings::without_non_finite;
use super::{MAX_DEPTH, MAX_METRICS, MetricsError, check_name, joined};
use crate::scalar;

/// `sharpe=Statistics.Sharpe Ratio`: the metric that a value becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub metric: String,
    pub source: String,
}

impl FromStr for Mapping {
    type Err = MetricsError;

    fn from_str(text: &str) -> Result<Self, MetricsError> {
        let parts = text.split_once('=').filter(|(_, source)| !source.is_empty());
        let Some((metric, source)) = parts else {
            return Err(MetricsError(format!("{text:?} maps nothing; write METRIC=NAME IN THE FILE")));
        };
        check_name(metric)?;
        Ok(Self { metric: metric.to_owned(), source: source.to_owned() })
    }
}

/// Takes numbers out of JSON of any shape.
pub fn read_json(text: &[u8], mappings: &[Mapping]) -> Result<Map<String, Value>, MetricsError> {
    let text = decoded(text)?;
    let json = without_non_finite(&text);
    let mut found = ImportedNumbers::new(mappings);
    let mut deserializer = serde_json::Deserializer::from_str(&json);
    let walk = Walk { found: &mut found, name: "", depth: 0 };
    let read = walk.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    read.map_err(|error| {
        MetricsError(match error.is_data() {
            true => error.to_string(),
            false => format!("not JSON: {error}"),
        })
    })?;
    found.finish()
}

/// A finite number that is written as programs write them: `-1.25e3`.
pub fn plain_number(text: &str) -> Option<Number> {
    let text = text.trim();
    if let Ok(int) = text.parse::<i64>() {
        return Some(int.into());
    }
    let digits = text.bytes().any(|byte| byte.is_ascii_digit());
    // Rust takes `inf` and `nan` too.
    text.parse::<f64>().ok().filter(|_| digits).and_then(Number::from_f64)
}

/// A finite number as people write it: `$1,234.50`, `-12.5%` (which is -0.125).
pub fn number_in_text(text: &str) -> Option<Number> {
    if let Some(number) = plain_number(text) {
        return Some(number);
    }
    let text = text.trim();
    let (negative, text) = match text.strip_prefix('-').or_else(|| text.strip_prefix('−')) {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let is_currency = |c: char| "$€£¥₹".contains(c);
    let text = text.trim_start_matches(is_currency).trim_end_matches(is_currency).trim();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) if !negative => (true, rest),
        _ => (negative, text),
    };
    let (percent, text) = match text.strip_suffix('%') {
        Some(rest) => (true, rest.trim_end()),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !is_grouped(whole) || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = format!("{}.{fraction}", whole.replace(',', "")).trim_end_matches('.').to_owned();
    let mut decimal: Decimal = digits.parse().ok()?;
    if percent {
        decimal = decimal.checked_div(Decimal::ONE_HUNDRED)?;
    }
    if negative {
        decimal.set_sign_negative(true);
    }
    plain_number(&decimal.normalize().to_string())
}

/// Digits, in groups of three where commas part them.
fn is_grouped(whole: &str) -> bool {
    let mut groups = whole.split(',');
    let first = groups.next().unwrap_or_default();
    let digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    let parted = whole.contains(',');
    !first.is_empty()
        && digits(first)
        && (!parted || first.len() <= 3)
        && groups.all(|group| group.len() == 3 && digits(group))
}

pub(super) fn decoded(text: &[u8]) -> Result<Cow<'_, str>, MetricsError> {
    crate::text::decode(text).map_err(|error| MetricsError(error.to_string()))
}

/// The numbers that were taken so far.
pub(super) struct ImportedNumbers<'m> {
    /// Metrics by the names of their sources, and whether the source was met; empty: all are taken.
    wanted: HashMap<&'m str, Vec<&'m str>>,
    met: Vec<&'m str>,
    numbers: Map<String, Value>,
}

impl<'m> ImportedNumbers<'m> {
    pub(super) fn new(mappings: &'m [Mapping]) -> Self {
        let mut wanted: HashMap<_, Vec<_>> = HashMap::new();
        for mapping in mappings {
            wanted.entry(mapping.source.as_str()).or_default().push(mapping.metric.as_str());
        }
        Self { wanted, met: Vec::new(), numbers: Map::new() }
    }

    /// A number under a name of the file; none where it is not finite.
    pub(super) fn number(&mut self, name: &str, number: Option<Number>) -> Result<(), MetricsError> {
        if self.wanted.is_empty() {
            let Some(number) = number else { return Ok(()) };
            check_name(name)?;
            return self.put(name, number);
        }
        let Some((source, metrics)) = self.wanted.get_key_value(name) else { return Ok(()) };
        let (source, metrics) = (*source, metrics.clone());
        if self.met.contains(&source) {
            return Err(MetricsError(format!("`{source}` is there twice")));
        }
        self.met.push(source);
        if let Some(number) = number {
            for metric in metrics {
                self.put(metric, number.clone())?;
            }
        }
        Ok(())
    }

    /// Something that is no number as it stands.
    pub(super) fn text(&mut self, name: &str, text: &str) -> Result<(), MetricsError> {
        if !self.wanted.contains_key(name) {
            return Ok(());
        }
        let number = number_in_text(text);
        let not_finite = ["nan", "inf", "-inf", "infinity", "-infinity", "none", "null", ""];
        if number.is_none() && !not_finite.contains(&text.trim().to_ascii_lowercase().as_str()) {
            let short: String = text.chars().take(40).collect();
            return Err(MetricsError(format!("`{name}` is {short:?}, which is not a number")));
        }
        self.number(name, number)
    }

    fn put(&mut self, name: &str, number: Number) -> Result<(), MetricsError> {
        if self.numbers.len() >= MAX_METRICS {
            return Err(MetricsError(format!(
                "it holds more than {MAX_METRICS} numbers, the limit; map those that are wanted"
            )));
        }
        match self.numbers.insert(name.to_owned(), Value::Number(number)) {
            None => Ok(()),
            Some(_) => Err(MetricsError(format!("`{name}` is there twice"))),
        }
    }

    pub(super) fn finish(self) -> Result<Map<String, Value>, MetricsError> {
        match self.wanted.keys().filter(|source| !self.met.contains(source)).min() {
            Some(source) => Err(MetricsError(format!("it has no `{source}`"))),
            None => Ok(self.numbers),
        }
    }
}

/// The value under a name of the file.
struct Walk<'f, 'm, 'n> {
    found: &'f mut ImportedNumbers<'m>,
    name: &'n str,
    depth: usize,
}

impl Walk<'_, '_, '_> {
    fn number<E: serde::de::Error>(self, number: Option<Number>) -> Result<(), E> {
        match self.name {
            "" => Err(E::custom("a number where an object or a list of them belongs")),
            name => self.found.number(name, number).map_err(E::custom),
        }
    }

    fn within<E: serde::de::Error>(&self) -> Result<usize, E> {
        match self.depth {
            MAX_DEPTH => Err(E::custom(format!("what it holds lies more than {MAX_DEPTH} deep, the limit"))),
            depth => Ok(depth + 1),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        self.number(Some(number.into()))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.number(Some(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        self.number(Number::from_f64(number))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.number(None)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.visit_str(if value { "true" } else { "false" })
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.found.text(self.name, text).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let depth = self.within()?;
        let mut index = 0_u64;
        loop {
            let name = joined(self.name, &index.to_string());
            if list.next_element_seed(Walk { found: self.found, name: &name, depth })?.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut next = map.next_key::<Cow<'de, str>>()?;
        if next.as_deref() == Some(scalar::NUMBER) {
            return self.number(Number::from_f64(float_of(map.next_value()?)?));
        }
        let depth = self.within()?;
        while let Some(key) = next {
            let name = joined(self.name, &key);
            map.next_value_seed(Walk { found: self.found, name: &name, depth })?;
            next = map.next_key()?;
        }
        Ok(())
    }
}
