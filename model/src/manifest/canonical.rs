//! A manifest as JSON between client, coordinator and agent. It is a manifest too: the same reader reads it.

use serde_json::{Map, Value};

use super::definition::Manifest;
use super::document::{Format, TextNode};
use super::draft::Draft;
use super::error::Error;
use super::{keys, read};

/// Names the text in errors: there is no file.
const ORIGIN: &str = "manifest";

impl Manifest {
    /// Reads what [`Self::to_json`] wrote.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let root = TextNode::parse(text.as_bytes(), Format::Json, ORIGIN)?;
        let draft = Draft { places: Default::default(), ..read::read(&root)? };
        draft.finish_stored()
    }

    /// All of the manifest as JSON, but for the rows of [`super::JobSource::Rows`], which travel apart: in their place
    /// stands `"params": "rows"`.
    pub fn to_json(&self) -> String {
        let pairs = keys::all().filter_map(|key| Some((key.name.to_owned(), (key.write)(self)?)));
        Value::Object(pairs.collect::<Map<_, _>>()).to_string()
    }
}
