//! What a judgement prints: names and values with words beside them, or one JSON document.

use schemars::JsonSchema;
use serde::Serialize;

use crate::error::Error;
use crate::output::{Cell, Json, OutputFormat, print_facts, say};

/// Names and values, in the order in which people read them.
pub(super) struct Facts {
    format: OutputFormat,
    facts: Vec<(&'static str, Cell)>,
}

impl Facts {
    pub(super) fn new(format: OutputFormat) -> Self {
        Self { format, facts: Vec::new() }
    }

    /// A computed number: people get six digits, except in `wide`.
    pub(super) fn number(mut self, name: &'static str, value: f64) -> Self {
        let text = match self.format {
            OutputFormat::Table | OutputFormat::Name => short(value),
            _ => value.to_string(),
        };
        self.facts.push((name, Cell::Number(text)));
        self
    }

    /// A number, or words for its absence.
    pub(super) fn number_or(self, name: &'static str, value: Option<f64>, absent: &'static str) -> Self {
        match value {
            Some(value) => self.number(name, value),
            None => self.fact(name, Cell::Remark(absent)),
        }
    }

    pub(super) fn fact(mut self, name: &'static str, value: Cell) -> Self {
        self.facts.push((name, value));
        self
    }

    pub(super) fn words(self, name: &'static str, text: impl Into<String>) -> Self {
        self.fact(name, Cell::text(text))
    }

    /// Prints them, or the document. Hints go to standard error in every form.
    pub(super) fn print(
        self,
        document: &(impl Serialize + JsonSchema),
        hints: &[String],
    ) -> Result<(), Error> {
        hints.iter().for_each(|hint| say(&format!("hint: {hint}")));
        print_facts(self.facts.into_iter(), &Json::of(document)?, self.format)
    }
}

/// Six digits that count.
pub(super) fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let rounded: f64 = format!("{value:.5e}").parse().unwrap_or(value);
    match (1e-5..1e15).contains(&rounded.abs()) {
        true => rounded.to_string(),
        false => format!("{rounded:e}"),
    }
}

/// What is wrong with the numbers of a command line.
pub(super) fn wrong(error: bt_statistics::Error) -> Error {
    Error::Usage(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_six_digits() {
        let shown = [0.913_361_083_861, 60.365_085, 1.2e-9, -0.5, 0.0, 1e20].map(short);
        assert_eq!(shown, ["0.913361", "60.3651", "1.2e-9", "-0.5", "0", "1e20"]);
    }
}
