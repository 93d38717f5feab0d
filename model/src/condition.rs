//! The manifest's `where`: an expression over a job's parameters that is true or false.

use std::collections::BTreeSet;

use minijinja::value::ValueKind;

use crate::expression::Expression;
use crate::manifest::{Error, suggestion};
use crate::nearest::nearest;
use crate::parameters::Parameters;

/// The expression, compiled.
#[derive(Debug)]
pub(crate) struct Condition<'e> {
    source: &'e str,
    expression: Expression,
}

impl<'e> Condition<'e> {
    /// Compiles the expression. `known` are the parameters that jobs may have.
    pub(crate) fn new(source: &'e str, known: &BTreeSet<&str>) -> Result<Self, Error> {
        let expression = compile("where", source)?;
        let names = expression.names().iter().map(String::as_str).filter(|name| *name != "params");
        if let Some(name) = names.into_iter().find(|name| !known.contains(name)) {
            let hint = suggestion(name, known.iter().copied(), "parameters");
            let list: Vec<&str> = known.iter().copied().collect();
            let list = if nearest(name, known.iter().copied()).is_some() {
                format!(" (there are {})", list.join(", "))
            } else {
                String::new()
            };
            return Err(Error::new(format!(
                "`where` ({source:?}) uses `{name}`, which is not a parameter{hint}{list}"
            )));
        }
        Ok(Self { source, expression })
    }

    pub(crate) fn holds(&self, parameters: &Parameters) -> Result<bool, Error> {
        let source = self.source;
        let value = self.expression.evaluate(parameters).map_err(|fault| {
            let why = match &fault.undefined {
                Some(name) if self.expression.names().contains(name) => {
                    format!("this job has no `{name}`; write `{name} is not defined or ...`")
                }
                _ => fault.to_string(),
            };
            Error::new(format!("`where` ({source:?}) fails for {}: {why}", parameters.to_json()))
        })?;
        match value.kind() {
            ValueKind::Bool => Ok(value.is_true()),
            _ => Err(Error::new(format!(
                "`where` ({source:?}) gives {value:?} for {}; it must be true or false, as in fast < slow",
                parameters.to_json()
            ))),
        }
    }
}

/// Compiles the expression of a key: `where`, of a manifest or of a command, or `stop_when`.
pub(crate) fn compile(key: &str, source: &str) -> Result<Expression, Error> {
    Expression::compile(source).map_err(|fault| {
        let hint = hint(source).map_or_else(|| fault.to_string(), str::to_owned);
        let short: String = source.chars().take(200).collect();
        let dots = if short.len() < source.len() { "..." } else { "" };
        Error::new(format!("`{key}` ({short:?}{dots}) is not an expression: {hint}"))
    })
}

/// What people write who know other languages.
fn hint(source: &str) -> Option<&'static str> {
    let outside = without_texts(source);
    let not = outside.match_indices('!').any(|(at, _)| outside.as_bytes().get(at + 1) != Some(&b'='));
    if outside.contains("&&") || outside.contains("||") || not {
        return Some("write `and`, `or`, `not` instead of &&, ||, !");
    }
    let single = outside.replace("==", "").replace("!=", "").replace("<=", "").replace(">=", "");
    single.contains('=').then_some("write == to compare")
}

/// The expression without what stands in quotes.
fn without_texts(source: &str) -> String {
    let mut quote = None;
    let mut outside = String::new();
    for c in source.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None => outside.push(c),
        }
    }
    outside
}
