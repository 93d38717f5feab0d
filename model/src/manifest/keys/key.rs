//! All that is decided for one key of the manifest. A row that lacks a decision does not compile.

use serde_json::{Map, Value};

use crate::manifest::definition::Manifest;
use crate::manifest::document::TextNode;
use crate::manifest::draft::Draft;
use crate::manifest::error::Error;

pub(in crate::manifest) struct ManifestKey {
    pub(in crate::manifest) name: &'static str,
    /// What Docker or Compose calls it, if that is another name.
    pub(in crate::manifest) alias: Option<&'static str>,
    /// The flags of `btctl submit` that say the same, without their dashes.
    pub(in crate::manifest) flags: &'static [&'static str],
    /// The JSON Schema of its values.
    pub(in crate::manifest) schema: fn() -> Value,
    /// Reads the value from a file. A mistake has the place where it stands.
    pub(in crate::manifest) read: fn(&mut Draft, &TextNode) -> Result<(), Error>,
    /// Merges what the flags (second) say into what the file says. True if the value no longer stands in the file.
    pub(in crate::manifest) merge: fn(&mut Draft, &mut Draft) -> bool,
    /// The value as [`ManifestKey::read`] reads it; absent where that makes the default.
    pub(in crate::manifest) write: fn(&Manifest) -> Option<Value>,
    pub(in crate::manifest) recipe: Recipe,
}

/// Whether a key is part of what makes two jobs the same.
pub(in crate::manifest) enum Recipe {
    /// It changes a job's result, by these parts of the recipe.
    Contains(fn(&Manifest, &mut Parts)),
    /// It decides whether, when and where there is a result, not what is in it.
    Omits,
}

/// The parts of a recipe, by name.
pub(in crate::manifest) struct Parts(Map<String, Value>);

impl Parts {
    pub(in crate::manifest) fn of_rule(rule: u32) -> Self {
        let mut parts = Self(Map::new());
        parts.put("rule", rule);
        parts
    }

    pub(super) fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    pub(in crate::manifest) fn into_json(self) -> String {
        Value::Object(self.0).to_string()
    }
}

/// What a flag says wins over what the file says.
pub(super) fn replace<T>(file: &mut Option<T>, flag: Option<T>) -> bool {
    let is_set = flag.is_some();
    if is_set {
        *file = flag;
    }
    is_set
}
