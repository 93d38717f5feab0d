//! The manifest's `where`: an expression over a job's parameters that is true or false.

use std::collections::BTreeSet;

use minijinja::Environment;
use minijinja::value::ValueKind;

use crate::manifest::{Error, suggestion};
use crate::parameters::Parameters;
use crate::template::{Names, reason};

/// The expression, compiled.
pub(crate) struct Condition<'e> {
    source: &'e str,
    expression: minijinja::Expression<'e, 'e>,
    names: Names,
}

impl<'e> Condition<'e> {
    /// Compiles the expression. `known` are the parameters that jobs may have.
    pub(crate) fn new(
        engine: &'e Environment<'e>,
        source: &'e str,
        known: &BTreeSet<&str>,
    ) -> Result<Self, Error> {
        let expression = engine.compile_expression(source).map_err(|error| {
            let hint = hint(source).map_or_else(|| reason(&error), str::to_owned);
            Error::new(format!("`where` ({source:?}) is no expression: {hint}"))
        })?;
        let names = Names::new(engine, expression.undeclared_variables(false));
        if let Some(name) = names.needed.iter().find(|name| !known.contains(name.as_str())) {
            let hint = suggestion(name, known.iter().copied(), "parameters");
            let list: Vec<&str> = known.iter().copied().collect();
            let list = if hint.contains("did you mean") {
                format!(" (there are {})", list.join(", "))
            } else {
                String::new()
            };
            return Err(Error::new(format!(
                "`where` ({source:?}) uses `{name}`, which is no parameter{hint}{list}"
            )));
        }
        Ok(Self { source, expression, names })
    }

    pub(crate) fn holds(&self, parameters: &Parameters) -> Result<bool, Error> {
        let source = self.source;
        let value = self.expression.eval(self.names.scope(parameters)).map_err(|error| {
            let why = match self.names.missing(parameters) {
                Some(name) => {
                    format!("this job has no `{name}`; write `{name} is not defined or ...`")
                }
                None => reason(&error),
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

/// What people write who know other languages.
pub(crate) fn hint(source: &str) -> Option<&'static str> {
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
