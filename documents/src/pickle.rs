//! What is in a pickle.

use schemars::JsonSchema;
use serde::Serialize;

/// What is in a file of pickles, by their opcodes: nothing of it was loaded.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InspectedPickle {
    /// The highest protocol that it says or needs, 0 to 5.
    pub protocol: u8,
    /// Pickles one after the other.
    pub pickles: u64,
    pub bytes: u64,
    pub opcodes: u64,
    /// Bytes of texts, byte strings and arrays, and of the longest of them.
    pub payload: u64,
    pub longest: u64,
    /// What loading would import, the dangerous first.
    pub names: Vec<PickledName>,
    /// Calls of what the pickle computes itself.
    pub computed_calls: u64,
    /// Objects that are kept elsewhere, and names by numbers.
    pub elsewhere: u64,
    /// Names that the pickle computes itself.
    pub unnamed: u64,
}

/// Something that a pickle imports.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PickledName {
    /// Such as `numpy.ndarray`.
    pub name: String,
    /// usual (what containers, numbers, dates, arrays and tables are made of), unknown or dangerous.
    pub standing: String,
    /// How often it is used, and how often it is called.
    pub used: u64,
    pub called: u64,
}
