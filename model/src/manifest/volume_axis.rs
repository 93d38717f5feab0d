//! An axis whose values are the files of a volume: `{from_volume: prices, glob: "*.csv"}`. An agent that offers the volume is
//! asked once, by whoever submits, and the answer is kept in the sweep's manifest.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::choice::words;
use super::document::{NodeKind, TextNode};
use super::error::{Error, suggestion};
use super::values::{list, map, scalar, text};
use super::volume::check_name;

/// Characters of the longest pattern.
const MAX_GLOB: usize = 1000;
const KEYS: [&str; 4] = ["from_volume", "glob", "value", "values"];

/// Which files' names are the values of an axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeFiles {
    pub volume: String,
    /// Of paths below the volume's root: `*` and `?` match no slash, `**` does.
    pub glob: String,
    pub value: FileValue,
}

/// What of a file is a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileValue {
    /// Its path below the volume's root: `us/GOOG.csv`.
    #[default]
    Path,
    /// Its name without what follows the last dot: `GOOG`.
    Stem,
}

words!(FileValue, "value", "kinds of value": Path => "path", Stem => "stem");

impl FileValue {
    fn of(self, path: &str) -> &str {
        let name = path.rsplit('/').next().unwrap_or(path);
        match self {
            Self::Path => path,
            // A name such as `.hidden` is all stem.
            Self::Stem => {
                name.rsplit_once('.').map_or(name, |(stem, _)| if stem.is_empty() { name } else { stem })
            }
        }
    }
}

/// True where a map is such an axis.
pub(super) fn is_meant(node: &TextNode) -> bool {
    let NodeKind::Map(entries) = &node.kind else { return false };
    entries.iter().any(|entry| entry.name == "from_volume" || entry.name == "glob")
}

/// Reads `{from_volume: prices, glob: "*.csv"}`, and what [`write()`] wrote.
pub(super) fn read(name: &str, node: &TextNode) -> Result<(VolumeFiles, Vec<Value>), Error> {
    let (mut volume, mut glob, mut value, mut values) = (None, None, FileValue::default(), Vec::new());
    for entry in map(node, &format!("the axis `{name}`"))? {
        let at = |error: Error| error.or_at(Some(&entry.node.place));
        let path = format!("matrix.{name}.{}", entry.name);
        match entry.name.as_str() {
            "from_volume" => volume = Some(check_name(text(&entry.node, &path)?).map_err(at)?),
            "glob" => glob = Some(check_glob(text(&entry.node, &path)?).map_err(at)?),
            "value" => value = text(&entry.node, &path)?.parse().map_err(at)?,
            "values" => {
                for item in list(&entry.node, &path, "a list of what the volume held")? {
                    values.push(scalar(item, name)?);
                }
            }
            unknown => {
                let hint = suggestion(unknown, KEYS, "keys of an axis that is read from a volume");
                let message = format!("unknown key `{unknown}` in the axis `{name}`{hint}");
                return Err(Error::new(message).or_at(Some(&entry.place)));
            }
        }
    }
    let (Some(volume), Some(glob)) = (volume, glob) else {
        let message = format!(
            "the axis `{name}` needs a `from_volume` and a `glob`: {{from_volume: prices, glob: \"*.csv\"}}"
        );
        return Err(node.error(message));
    };
    Ok((VolumeFiles { volume, glob, value }, values))
}

/// What [`read`] reads.
pub(super) fn write(from: &VolumeFiles, values: &[Value]) -> Value {
    let VolumeFiles { volume, glob, value } = from;
    let mut written = json!({"from_volume": volume, "glob": glob});
    if *value != FileValue::default() {
        written["value"] = json!(value.name());
    }
    if !values.is_empty() {
        written["values"] = json!(values);
    }
    written
}

/// As JSON Schema has it; `values` is of this kind.
pub(super) fn schema(values: &Value) -> Value {
    json!({
        "type": "object",
        "properties": {
            "from_volume": {"type": "string"},
            "glob": {"type": "string"},
            "value": {"enum": FileValue::NAMES},
            "values": values,
        },
        "required": ["from_volume", "glob"],
        "additionalProperties": false,
    })
}

/// Checks what can be said of a pattern without the files.
fn check_glob(glob: String) -> Result<String, Error> {
    let length = glob.chars().count();
    if length == 0 || length > MAX_GLOB {
        return Err(Error::new(format!(
            "`glob` has {length} characters; 1 to {MAX_GLOB} are right, such as *.csv"
        )));
    }
    if glob.starts_with('/') || glob.split('/').any(|part| part == "..") {
        return Err(Error::new(format!(
            "`glob` is {glob:?}; it is matched against paths below the volume's root, such as *.csv or us/*.csv"
        )));
    }
    Ok(glob)
}

impl VolumeFiles {
    pub(super) fn values_of(&self, name: &str, paths: &[String]) -> Result<Vec<Value>, Error> {
        if paths.is_empty() {
            return Err(Error::new(format!(
                "the axis `{name}`: no file of the volume {} matches {:?}; * and ? match no slash, ** does",
                self.volume, self.glob
            )));
        }
        let mut seen = HashMap::new();
        for path in paths {
            if let Some(other) = seen.insert(self.value.of(path), path) {
                return Err(Error::new(format!(
                    "the axis `{name}`: the files {other} and {path} of the volume {} have the same stem; narrow `glob`, or \
                     leave out `value: stem` to have their paths",
                    self.volume
                )));
            }
        }
        Ok(paths.iter().map(|path| Value::from(self.value.of(path))).collect())
    }
}
