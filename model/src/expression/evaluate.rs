//! The evaluation of an expression: each node at most once, and every byte that is read or made is counted.

use std::fmt::Write as _;

use minijinja::value::ValueKind;
use minijinja::{State, Value};

use super::limits::{BUDGET, MAX_BYTES, MAX_RANGE};
use super::tree::{Argument, Arithmetic, Node};
use super::{ExpressionFault, Scope, filters, operators};

pub(super) fn value(node: &Node, scope: &dyn Scope) -> Result<Value, ExpressionFault> {
    Evaluation::new(scope).defined(node)
}

pub(super) fn text(node: &Node, scope: &dyn Scope, bytes: &mut usize) -> Result<String, ExpressionFault> {
    let mut evaluation = Evaluation { bytes_left: BUDGET.min(*bytes), ..Evaluation::new(scope) };
    let before = evaluation.bytes_left;
    let text = evaluation.printed(node);
    *bytes -= before - evaluation.bytes_left;
    text
}

/// The values of a call's arguments.
#[derive(Default)]
pub(super) struct ArgumentValues {
    pub(super) placed: Vec<Value>,
    pub(super) named: Vec<(String, Value)>,
}

/// One evaluation and what it may still spend.
pub(super) struct Evaluation<'s> {
    pub(super) scope: &'s dyn Scope,
    /// minijinja's filters ask for one; most expressions use none.
    state: Option<State<'static, 'static>>,
    bytes_left: usize,
}

impl<'s> Evaluation<'s> {
    fn new(scope: &'s dyn Scope) -> Self {
        Self { scope, state: None, bytes_left: BUDGET }
    }

    /// Counts bytes that are read or made.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), ExpressionFault> {
        let left = self.bytes_left.checked_sub(bytes).filter(|_| bytes <= MAX_BYTES);
        self.bytes_left = left.ok_or_else(|| {
            ExpressionFault::new(format!(
                "its texts grow beyond {} KiB, the limit of a template or condition",
                MAX_BYTES >> 10
            ))
        })?;
        Ok(())
    }

    pub(super) fn state(&mut self) -> &mut State<'static, 'static> {
        self.state.get_or_insert_with(|| filters::library().empty_state())
    }

    /// The node's value, which must be there.
    pub(super) fn defined(&mut self, node: &Node) -> Result<Value, ExpressionFault> {
        let value = self.value(node)?;
        match value.is_undefined() {
            true => Err(ExpressionFault::undefined(
                &node.path().unwrap_or_else(|| "a part of the expression".to_owned()),
            )),
            false => Ok(value),
        }
    }

    pub(super) fn is_true(&mut self, node: &Node) -> Result<bool, ExpressionFault> {
        self.defined(node).map(|value| value.is_true())
    }

    pub(super) fn value(&mut self, node: &Node) -> Result<Value, ExpressionFault> {
        match node {
            Node::Const(value) => Ok(value.clone()),
            Node::Name(name) => Ok(self.scope.value(name).unwrap_or(Value::UNDEFINED)),
            Node::Attribute(of, name) => Ok(self.defined(of)?.get_attr(name)?),
            Node::Item(of, key) => {
                let of = self.defined(of)?;
                Ok(of.get_item(&self.defined(key)?)?)
            }
            Node::Slice(of, start, stop) => self.slice(of, start.as_deref(), stop.as_deref()),
            Node::Not(of) => self.is_true(of).map(|is| Value::from(!is)),
            Node::Negative(of) => operators::negative(&self.defined(of)?),
            Node::All(parts) => self.first(parts, false),
            Node::Any(parts) => self.first(parts, true),
            Node::Arithmetic(Arithmetic::Join, left, right) => {
                let (left, right) = (self.printed(left)?, self.printed(right)?);
                self.spend(left.len() + right.len())?;
                Ok(Value::from(left + &right))
            }
            Node::Arithmetic(op, left, right) => {
                let (left, right) = (self.defined(left)?, self.defined(right)?);
                self.calculate(*op, &left, &right)
            }
            Node::Compare(first, others) => {
                let mut left = self.defined(first)?;
                for (op, right) in others {
                    let right = self.defined(right)?;
                    self.spend(weight(&left) + weight(&right))?;
                    if !operators::compare(*op, &left, &right)? {
                        return Ok(Value::from(false));
                    }
                    left = right;
                }
                Ok(Value::from(true))
            }
            Node::If { condition, then, otherwise } => match (self.is_true(condition)?, otherwise) {
                (true, _) => self.defined(then),
                (false, Some(otherwise)) => self.defined(otherwise),
                (false, None) => Ok(Value::from("")),
            },
            Node::Filter { name, input, arguments } => {
                if let Some(text) = self.printed_filter(name, input, arguments.is_empty())? {
                    return Ok(Value::from(text));
                }
                let input = self.printed_items(name, input)?;
                if input.is_undefined() && !filters::takes_undefined(name) {
                    return self.defined(&Node::Const(input));
                }
                let values = self.arguments(arguments)?;
                filters::apply(self, name, input, values)
            }
            Node::Test { name, input, arguments } => {
                let input = match name.as_str() {
                    "defined" | "undefined" => self.value(input)?,
                    _ => self.defined(input)?,
                };
                let values = self.arguments(arguments)?;
                filters::test(self, name, input, values).map(Value::from)
            }
            Node::Range(arguments) => self.range(arguments),
            Node::List(items) => {
                let items = items.iter().map(|item| self.defined(item));
                Ok(Value::from(items.collect::<Result<Vec<Value>, _>>()?))
            }
            Node::Map(pairs) => {
                let pairs = pairs.iter().map(|(key, value)| Ok((self.defined(key)?, self.defined(value)?)));
                Ok(Value::from_pairs(pairs.collect::<Result<Vec<_>, ExpressionFault>>()?))
            }
        }
    }

    /// The first part that is true (or false), or else the last.
    fn first(&mut self, parts: &[Node], wanted: bool) -> Result<Value, ExpressionFault> {
        let mut value = Value::from(!wanted);
        for part in parts {
            value = self.defined(part)?;
            if value.is_true() == wanted {
                break;
            }
        }
        Ok(value)
    }

    fn calculate(&mut self, op: Arithmetic, left: &Value, right: &Value) -> Result<Value, ExpressionFault> {
        let are_texts = left.as_str().is_some() && right.as_str().is_some();
        if op == Arithmetic::Add && are_texts {
            let (left, right) = (self.text_of(left)?, self.text_of(right)?);
            self.spend(left.len() + right.len())?;
            return Ok(Value::from(left + &right));
        }
        operators::calculate(op, left, right)
    }

    fn arguments(&mut self, arguments: &[Argument]) -> Result<ArgumentValues, ExpressionFault> {
        let mut values = ArgumentValues::default();
        for argument in arguments {
            let value = self.defined(&argument.value)?;
            match &argument.name {
                Some(name) => values.named.push((name.clone(), value)),
                None => values.placed.push(value),
            }
        }
        Ok(values)
    }

    fn slice(
        &mut self,
        of: &Node,
        start: Option<&Node>,
        stop: Option<&Node>,
    ) -> Result<Value, ExpressionFault> {
        let of = self.defined(of)?;
        let mut bound = |node: Option<&Node>| match node {
            None => Ok(None),
            Some(node) => {
                let bound = self.defined(node)?;
                let place = bound.as_i64();
                place.map(Some).ok_or_else(|| {
                    ExpressionFault::new(format!(
                        "a slice goes from one whole number to another, not {}",
                        operators::show(&bound)
                    ))
                })
            }
        };
        let (start, stop) = (bound(start)?, bound(stop)?);
        self.spend(weight(&of))?;
        // Negative places count from the end.
        let range = |len: usize| {
            let place = |place: i64| match usize::try_from(place) {
                Ok(place) => place.min(len),
                Err(_) => len.saturating_sub(usize::try_from(place.unsigned_abs()).unwrap_or(usize::MAX)),
            };
            let from = start.map_or(0, place);
            (from, stop.map_or(len, place).saturating_sub(from))
        };
        if let Some(text) = of.as_str() {
            let (skip, take) = range(text.chars().count());
            return Ok(Value::from(text.chars().skip(skip).take(take).collect::<String>()));
        }
        let items: Vec<Value> = match of.kind() {
            ValueKind::Seq | ValueKind::Iterable => of.try_iter()?.collect(),
            _ => {
                return Err(ExpressionFault::new(format!(
                    "a slice is part of a text or a list, not of {}",
                    operators::show(&of)
                )));
            }
        };
        let (skip, take) = range(items.len());
        Ok(Value::from(items.into_iter().skip(skip).take(take).collect::<Vec<_>>()))
    }

    fn range(&mut self, arguments: &[Argument]) -> Result<Value, ExpressionFault> {
        let ArgumentValues { placed, named } = self.arguments(arguments)?;
        let numbers: Option<Vec<i64>> = placed.iter().map(Value::as_i64).collect();
        let (from, to, step) = match (numbers.as_deref(), named.is_empty()) {
            (Some(&[to]), true) => (0, to, 1),
            (Some(&[from, to]), true) => (from, to, 1),
            (Some(&[from, to, step]), true) if step != 0 => (from, to, step),
            _ => {
                return Err(ExpressionFault::new(
                    "write range(to), range(from, to) or range(from, to, step), whole numbers",
                ));
            }
        };
        let numbers = std::iter::successors(Some(from), |at| at.checked_add(step));
        let numbers = numbers.take_while(|at| if step > 0 { *at < to } else { *at > to });
        let numbers: Vec<i64> = numbers.take(MAX_RANGE + 1).collect();
        if numbers.len() > MAX_RANGE {
            return Err(ExpressionFault::new(format!("a range has {MAX_RANGE} numbers at most")));
        }
        Ok(Value::from(numbers))
    }

    /// A value as text: numbers and booleans as in `BT_PARAM_<NAME>` and the manifest, not as in Python.
    pub(super) fn text_of(&mut self, value: &Value) -> Result<String, ExpressionFault> {
        let text = match value.as_str() {
            Some(text) => text.to_owned(),
            None => match serde_json::to_value(value) {
                Ok(plain @ (serde_json::Value::Bool(_) | serde_json::Value::Number(_))) => plain.to_string(),
                _ => {
                    let mut bounded = BoundedText(String::new());
                    match write!(bounded, "{value}") {
                        Ok(()) => bounded.0,
                        // The rest was not written; the limit's message follows.
                        Err(std::fmt::Error) => return self.spend(MAX_BYTES + 1).map(|()| bounded.0),
                    }
                }
            },
        };
        self.spend(text.len())?;
        Ok(text)
    }
}

/// The bytes that it takes to read a value.
pub(super) fn weight(value: &Value) -> usize {
    match value.as_str() {
        Some(text) => text.len(),
        None => value.len().unwrap_or(0),
    }
}

/// A text that grows up to the limit.
pub(super) struct BoundedText(pub(super) String);

impl std::fmt::Write for BoundedText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.0.len() + text.len() > MAX_BYTES {
            return Err(std::fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}
