//! JSON, ready to be printed.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::error::Error;

/// A document of a command, ready to be printed: its text, so that numbers keep the spelling that users gave them.
#[derive(Clone, Debug)]
pub(crate) struct Json(String);

impl Json {
    pub(crate) fn of(document: &(impl Serialize + JsonSchema)) -> Result<Self, Error> {
        let text = serde_json::to_string(document);
        text.map(Self).map_err(|error| Error::Failed(format!("the JSON can't be written: {error}")))
    }

    /// Of a thing that is printed in other forms only.
    pub(crate) fn none() -> Self {
        Self(String::new())
    }

    /// The record of a result, a [`bt_store::ResultDocument`] that the coordinator wrote.
    pub(crate) fn record(record: &Value) -> Self {
        Self(record.to_string())
    }

    /// In one line.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}
