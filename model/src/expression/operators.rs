//! Arithmetic and comparisons. Numbers are compared with numbers and texts with texts; anything else is an error, since
//! every answer to `"5" < 10` would be somebody's mistake.

use std::cmp::Ordering;

use minijinja::Value;
use minijinja::value::ValueKind;

use super::ExpressionFault;
use super::tree::{Arithmetic, CompareOp};

#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    pub(super) fn of(value: &Value) -> Option<Self> {
        if value.kind() != ValueKind::Number {
            return None;
        }
        match value.is_integer() {
            true => i128::try_from(value.clone()).ok().map(Self::Int),
            false => f64::try_from(value.clone()).ok().map(Self::Float),
        }
    }

    fn float(self) -> f64 {
        match self {
            Self::Int(int) => int as f64,
            Self::Float(float) => float,
        }
    }

    pub(super) fn value(self) -> Value {
        match self {
            Self::Int(int) => i64::try_from(int).map_or_else(|_| Value::from(int), Value::from),
            Self::Float(float) => Value::from(float),
        }
    }

    /// None where two whole numbers have no whole number as the result.
    pub(super) fn calculate(op: Arithmetic, left: Self, right: Self) -> Option<Self> {
        let (a, b) = (left.float(), right.float());
        if let (Self::Int(a), Self::Int(b)) = (left, right) {
            let whole = match op {
                Arithmetic::Add => a.checked_add(b),
                Arithmetic::Subtract => a.checked_sub(b),
                Arithmetic::Multiply => a.checked_mul(b),
                Arithmetic::FloorDivide => floor_divide(a, b),
                Arithmetic::Remainder => {
                    floor_divide(a, b).and_then(|floor| a.checked_sub(floor.checked_mul(b)?))
                }
                Arithmetic::Power if b >= 0 => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
                Arithmetic::Power | Arithmetic::Divide | Arithmetic::Join => {
                    return Self::floats(op, a as f64, b as f64);
                }
            };
            return whole.map(Self::Int);
        }
        Self::floats(op, a, b)
    }

    fn floats(op: Arithmetic, a: f64, b: f64) -> Option<Self> {
        let divides = matches!(op, Arithmetic::Divide | Arithmetic::FloorDivide | Arithmetic::Remainder);
        if divides && b == 0.0 {
            return None;
        }
        Some(Self::Float(match op {
            Arithmetic::Add => a + b,
            Arithmetic::Subtract => a - b,
            Arithmetic::Multiply => a * b,
            Arithmetic::Divide => a / b,
            Arithmetic::FloorDivide => (a / b).floor(),
            // The sign is the divisor's, as in Python.
            Arithmetic::Remainder => match a % b {
                rest if rest != 0.0 && (rest < 0.0) != (b < 0.0) => rest + b,
                rest => rest,
            },
            Arithmetic::Power => a.powf(b),
            Arithmetic::Join => return None,
        }))
    }
}

fn floor_divide(a: i128, b: i128) -> Option<i128> {
    let quotient = a.checked_div(b)?;
    let rounds_up = a.checked_rem(b)? != 0 && (a < 0) != (b < 0);
    quotient.checked_sub(i128::from(rounds_up))
}

pub(super) fn negative(value: &Value) -> Result<Value, ExpressionFault> {
    let negative = match Number::of(value) {
        Some(Number::Int(int)) => int.checked_neg().map(Number::Int),
        Some(Number::Float(float)) => Some(Number::Float(-float)),
        None => None,
    };
    negative
        .map(Number::value)
        .ok_or_else(|| ExpressionFault::new(format!("`-` needs a number, not {}", show(value))))
}

/// A calculation with two numbers.
pub(super) fn calculate(op: Arithmetic, left: &Value, right: &Value) -> Result<Value, ExpressionFault> {
    let sign = sign(op);
    let (Some(a), Some(b)) = (Number::of(left), Number::of(right)) else {
        return Err(ExpressionFault::new(format!(
            "`{sign}` needs two numbers, not {} and {}",
            show(left),
            show(right)
        )));
    };
    Number::calculate(op, a, b).map(Number::value).ok_or_else(|| {
        ExpressionFault::new(format!("{} {sign} {} has no result that is a number", show(left), show(right)))
    })
}

fn sign(op: Arithmetic) -> &'static str {
    match op {
        Arithmetic::Add => "+",
        Arithmetic::Subtract => "-",
        Arithmetic::Multiply => "*",
        Arithmetic::Divide => "/",
        Arithmetic::FloorDivide => "//",
        Arithmetic::Remainder => "%",
        Arithmetic::Power => "**",
        Arithmetic::Join => "~",
    }
}

pub(super) fn compare(op: CompareOp, left: &Value, right: &Value) -> Result<bool, ExpressionFault> {
    let order = || ordering(left, right);
    Ok(match op {
        CompareOp::Equal => equal(left, right)?,
        CompareOp::Unequal => !equal(left, right)?,
        CompareOp::Less => order()? == Some(Ordering::Less),
        CompareOp::AtMost => order()?.is_some_and(Ordering::is_le),
        CompareOp::Greater => order()? == Some(Ordering::Greater),
        CompareOp::AtLeast => order()?.is_some_and(Ordering::is_ge),
        CompareOp::In => contains(right, left)?,
        CompareOp::NotIn => !contains(right, left)?,
    })
}

/// None where one of them is not a number at all (NaN).
pub(super) fn ordering(left: &Value, right: &Value) -> Result<Option<Ordering>, ExpressionFault> {
    match (Number::of(left), Number::of(right)) {
        (Some(Number::Int(a)), Some(Number::Int(b))) => return Ok(Some(a.cmp(&b))),
        (Some(a), Some(b)) => return Ok(a.float().partial_cmp(&b.float())),
        _ => {}
    }
    match (left.as_str(), right.as_str()) {
        (Some(a), Some(b)) => Ok(Some(a.cmp(b))),
        _ => Err(mixed(left, right)),
    }
}

fn equal(left: &Value, right: &Value) -> Result<bool, ExpressionFault> {
    let (a, b) = (left.kind(), right.kind());
    let either_is = |kind: ValueKind| a == kind || b == kind;
    if a != b && !either_is(ValueKind::None) {
        return Err(mixed(left, right));
    }
    Ok(left == right)
}

fn contains(container: &Value, value: &Value) -> Result<bool, ExpressionFault> {
    if let Some(text) = container.as_str() {
        let part = value.as_str().ok_or_else(|| mixed(value, container))?;
        return Ok(text.contains(part));
    }
    let items: Vec<Value> = match container.kind() {
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => container.try_iter()?.collect(),
        _ => {
            return Err(ExpressionFault::new(format!(
                "`in` needs a list or a text, not {}",
                show(container)
            )));
        }
    };
    let (alike, others): (Vec<&Value>, Vec<&Value>) =
        items.iter().partition(|item| item.kind() == value.kind());
    // `5 in ["5", "7"]` can never be meant, and `5 in [7, "5"]` hardly.
    let twin = others.iter().find(|item| alike.is_empty() || item.to_string() == value.to_string());
    match twin {
        Some(other) => Err(mixed(value, other)),
        None => Ok(alike.into_iter().any(|item| item == value)),
    }
}

fn mixed(left: &Value, right: &Value) -> ExpressionFault {
    ExpressionFault::new(format!(
        "{} is compared with {}; both must be numbers, or both texts",
        show(left),
        show(right)
    ))
}

/// A value with its kind: `the text "5"`.
pub(super) fn show(value: &Value) -> String {
    let short = |text: &str| match text.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    };
    match value.kind() {
        ValueKind::String => format!("the text {}", short(value.as_str().unwrap_or_default())),
        ValueKind::Number => format!("the number {value}"),
        ValueKind::Bool => if value.is_true() { "true" } else { "false" }.to_owned(),
        ValueKind::Seq | ValueKind::Iterable => "a list".to_owned(),
        ValueKind::Map => "a map".to_owned(),
        ValueKind::None => "none".to_owned(),
        _ => "a value without a type".to_owned(),
    }
}
