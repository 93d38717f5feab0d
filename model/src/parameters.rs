//! One job's parameters: names and scalars.

use serde_json::{Map, Value};

/// Names and values (whole numbers, floats, booleans, text), in the manifest's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters(Map<String, Value>);

/// A text that is no job's parameters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotParameters(String);

impl Parameters {
    /// Checks that every name is allowed and every value is a scalar.
    pub fn new(map: Map<String, Value>) -> Result<Self, NotParameters> {
        let _ = &map;
        todo!()
    }

    pub fn from_json(text: &str) -> Result<Self, NotParameters> {
        let _ = text;
        todo!()
    }

    pub fn to_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
