//! Ranges of whole numbers, decimals and dates. None is ever written out, and none drifts: each value is computed from
//! the start.

use std::fmt;

use jiff::Span;
use jiff::civil::Date;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::Value;

use super::error::Error;
use crate::scalar;

/// `from`, `from + step`, ... up to `to`, which belongs to it when it is hit.
#[derive(Clone, Debug)]
pub struct Range {
    ends: Ends,
    len: u64,
}

#[derive(Clone, Debug)]
enum Ends {
    Int {
        from: i64,
        to: i64,
        step: i64,
    },
    Decimal {
        from: Decimal,
        to: Decimal,
        step: Decimal,
    },
    /// The step has calendar units only: years, months, weeks, days.
    Date {
        from: Date,
        to: Date,
        step: Span,
    },
}

impl Range {
    /// Makes a range of JSON values. Without a step, it is 1 (or -1 downwards), or a day.
    pub fn parse(name: &str, from: &Value, to: &Value, step: Option<&Value>) -> Result<Self, Error> {
        let ends = Self::ends(from, to, step).and_then(|ends| {
            let len = ends.len()?;
            Ok(Self { ends, len })
        });
        ends.map_err(|message| Error::new(format!("the range of `{name}` {message}")))
    }

    /// How many values there are; at least one.
    #[expect(clippy::len_without_is_empty, reason = "a range is never empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True for `2020-01-31`.
    pub fn is_date(text: &str) -> bool {
        text.len() == 10 && text.parse::<Date>().is_ok()
    }

    /// `from`, `to` and `step` as the manifest has them.
    pub fn parts(&self) -> [Value; 3] {
        match &self.ends {
            Ends::Int { from, to, step } => [(*from).into(), (*to).into(), (*step).into()],
            Ends::Decimal { from, to, step } => [float(*from), float(*to), float(*step)],
            Ends::Date { from, to, step } => {
                [from.to_string().into(), to.to_string().into(), format!("{step:#}").into()]
            }
        }
    }

    pub(crate) fn at(&self, index: u64) -> Value {
        match &self.ends {
            Ends::Int { from, step, .. } => {
                let value = i128::from(*from) + i128::from(*step) * i128::from(index);
                i64::try_from(value).map_or(Value::Null, Value::from)
            }
            Ends::Decimal { from, step, .. } => float(*from + *step * Decimal::from(index)),
            Ends::Date { from, step, .. } => {
                date_at(*from, *step, index).map_or(Value::Null, |date| date.to_string().into())
            }
        }
    }

    pub(crate) fn index_of(&self, value: &Value) -> Option<u64> {
        let index = match &self.ends {
            Ends::Int { from, step, .. } => {
                let value = match value.as_i64() {
                    Some(int) => int,
                    None => value.as_f64().filter(|float| float.fract() == 0.0)?.to_i64()?,
                };
                let distance = i128::from(value) - i128::from(*from);
                let steps = (distance % i128::from(*step) == 0).then_some(distance / i128::from(*step))?;
                u64::try_from(steps).ok()?
            }
            Ends::Decimal { from, step, .. } => {
                let steps = decimal(value)?.checked_sub(*from)?.checked_div(*step)?;
                steps.is_integer().then(|| steps.to_u64())??
            }
            Ends::Date { from, step, .. } => {
                let wanted: Date = value.as_str().filter(|text| Self::is_date(text))?.parse().ok()?;
                let down = step.is_negative();
                let index = first_index(self.len, |index| {
                    date_at(*from, *step, index)
                        .is_none_or(|date| if down { date <= wanted } else { date >= wanted })
                });
                (date_at(*from, *step, index)? == wanted).then_some(index)?
            }
        };
        (index < self.len).then_some(index)
    }

    fn ends(from: &Value, to: &Value, step: Option<&Value>) -> Result<Ends, String> {
        if let (Some(from), Some(to)) = (date(from), date(to)) {
            let step = match step {
                None => Span::new().days(if from > to { -1 } else { 1 }),
                Some(step) => date_step(step)?,
            };
            return Ok(Ends::Date { from, to, step });
        }
        if let (Some(from), Some(to)) = (from.as_i64(), to.as_i64())
            && step.is_none_or(Value::is_i64)
        {
            let default = if from > to { -1 } else { 1 };
            let step = step.and_then(Value::as_i64).unwrap_or(default);
            return Ok(Ends::Int { from, to, step });
        }
        let number = |key: &str, value: &Value| {
            decimal(value).ok_or_else(|| {
                format!("has {key} {value}; `from` and `to` are two numbers or two dates such as 2020-01-31, and `step` is alike (1, 0.1, 1d, 1mo)")
            })
        };
        let (from, to) = (number("from", from)?, number("to", to)?);
        let step = match step {
            None if from > to => Decimal::NEGATIVE_ONE,
            None => Decimal::ONE,
            Some(step) => number("step", step)?,
        };
        Ok(Ends::Decimal { from, to, step })
    }
}

impl Ends {
    fn len(&self) -> Result<u64, String> {
        let zero = "has step 0; it would never end";
        let wrong_way = |step: &dyn fmt::Display, from: &dyn fmt::Display, to: &dyn fmt::Display| {
            Err(format!(
                "goes from {from} to {to} in steps of {step}: it would never end; turn the step's sign"
            ))
        };
        match self {
            Self::Int { step: 0, .. } => Err(zero.to_owned()),
            Self::Int { from, to, step } => {
                let steps = (i128::from(*to) - i128::from(*from)) / i128::from(*step);
                if steps < 0 || ((from < to) != (*step > 0) && from != to) {
                    return wrong_way(step, from, to);
                }
                u64::try_from(steps + 1).map_err(|_| "is too long".to_owned())
            }
            Self::Decimal { step, .. } if step.is_zero() => Err(zero.to_owned()),
            Self::Decimal { from, to, step } => {
                if (from < to) != step.is_sign_positive() && from != to {
                    return wrong_way(step, from, to);
                }
                let too_fine = || "has more values than can be counted; take a larger step".to_owned();
                let distance = to.checked_sub(*from).ok_or_else(too_fine)?;
                let steps = distance.checked_div(*step).ok_or_else(too_fine)?.trunc();
                let steps = steps.to_u64().filter(|steps| *steps < 1 << 53).ok_or_else(too_fine)?;
                let last = step.checked_mul(Decimal::from(steps)).and_then(|span| from.checked_add(span));
                last.map(|_| steps + 1).ok_or_else(too_fine)
            }
            Self::Date { step, .. } if step.is_zero() => Err(zero.to_owned()),
            Self::Date { from, to, step } => {
                let down = step.is_negative();
                if (from < to) == down && from != to {
                    return wrong_way(&format!("{step:#}"), from, to);
                }
                // No two dates are further apart than this.
                let most = 20_000 * 366;
                Ok(first_index(most, |index| {
                    date_at(*from, *step, index).is_none_or(|date| if down { date < *to } else { date > *to })
                }))
            }
        }
    }
}

/// The first index for which `holds`, which then holds for all that follow; `len` if there is none.
fn first_index(len: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// The date so many steps from the start: the 31st of January plus one month is the 28th of February, plus two the 31st
/// of March.
fn date_at(from: Date, step: Span, index: u64) -> Option<Date> {
    let span = step.checked_mul(i64::try_from(index).ok()?).ok()?;
    from.checked_add(span).ok()
}

fn date(value: &Value) -> Option<Date> {
    let text = value.as_str()?;
    Range::is_date(text).then(|| text.parse().ok())?
}

fn date_step(value: &Value) -> Result<Span, String> {
    let fails = || format!("has step {value}; a step between dates is written 1d, 1w, 1mo or 1y");
    if let Some(days) = value.as_i64() {
        return Span::new().try_days(days).map_err(|_| fails());
    }
    let span: Span = value.as_str().ok_or_else(fails)?.parse().map_err(|_| fails())?;
    let clock = [
        i64::from(span.get_hours()),
        span.get_minutes(),
        span.get_seconds(),
        span.get_milliseconds(),
        span.get_microseconds(),
        span.get_nanoseconds(),
    ];
    if clock.iter().any(|part| *part != 0) {
        return Err(fails());
    }
    Ok(span)
}

/// The number as it is written: 0.1 is exactly a tenth. None if it has more digits than a decimal holds.
fn decimal(value: &Value) -> Option<Decimal> {
    let Value::Number(number) = value else {
        return None;
    };
    let text = number.as_str();
    match text.contains(['e', 'E']) {
        true => Decimal::from_scientific(text).ok().filter(|decimal| {
            // Digits that are too small for a decimal are lost without an error.
            decimal.to_f64() == number.as_f64()
        }),
        false => Decimal::from_str_exact(text).ok(),
    }
}

/// The decimal as a float is written: with a point, and without needless zeros.
fn float(decimal: Decimal) -> Value {
    let mut text = decimal.normalize().to_string();
    if !text.contains('.') {
        text.push_str(".0");
    }
    scalar::number(&text).map_or(Value::Null, Value::Number)
}

impl PartialEq for Range {
    fn eq(&self, other: &Self) -> bool {
        match (&self.ends, &other.ends) {
            (Ends::Int { from, to, step }, Ends::Int { from: f, to: t, step: s }) => {
                (from, to, step) == (f, t, s)
            }
            (Ends::Decimal { from, to, step }, Ends::Decimal { from: f, to: t, step: s }) => {
                (from, to, step) == (f, t, s)
            }
            (Ends::Date { from, to, step }, Ends::Date { from: f, to: t, step: s }) => {
                (from, to, step.fieldwise()) == (f, t, s.fieldwise())
            }
            (Ends::Int { .. } | Ends::Decimal { .. } | Ends::Date { .. }, _) => false,
        }
    }
}
