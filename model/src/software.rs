//! What in an image explains results: the versions of Python and of its packages.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Packages of one image at most, and bytes of a name or a version.
const MOST_PACKAGES: usize = 10_000;
const LONGEST_WORD: usize = 200;

/// The software of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Software {
    /// The interpreter's version; absent in an image without one.
    pub python: Option<String>,
    /// Versions by the packages' names, as `pip freeze` has them.
    #[serde(default)]
    pub packages: BTreeMap<String, String>,
}

impl Software {
    /// Reads lines of `name==version`; the first is Python's own. Other lines are left out, and so are names that no
    /// package has.
    pub fn read(text: &str) -> Self {
        let mut this = Self::default();
        for (name, version) in text.lines().filter_map(|line| line.trim().split_once("==")) {
            match (&this.python, name) {
                (None, "python") => this.python = Some(version.to_owned()).filter(|version| is_word(version)),
                _ => this.add(name, version),
            }
        }
        this
    }

    /// Reads what another program of ours has written, and trusts none of it.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        let told: Self = serde_json::from_str(text)?;
        let mut this = Self { python: told.python.filter(|version| is_word(version)), ..Self::default() };
        for (name, version) in &told.packages {
            this.add(name, version);
        }
        Ok(this)
    }

    fn add(&mut self, name: &str, version: &str) {
        if is_word(name) && is_word(version) && self.packages.len() < MOST_PACKAGES {
            self.packages.entry(name.to_owned()).or_insert_with(|| version.to_owned());
        }
    }
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && word.len() <= LONGEST_WORD && !word.chars().any(|c| c.is_control() || c == ' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_noise_is_not() {
        let read = Software::read(
            "python==3.11.2\nnumpy==1.24.2\npandas==1.5.3\nnumpy==0.1\nno line\nx==\n==1\na b==1\n",
        );
        assert_eq!(read.python.as_deref(), Some("3.11.2"));
        let packages: Vec<_> =
            read.packages.iter().map(|(name, version)| format!("{name} {version}")).collect();
        assert_eq!(packages, ["numpy 1.24.2", "pandas 1.5.3"]);
        let json = serde_json::to_string(&read).unwrap();
        assert_eq!(Software::from_json(&json).unwrap(), read);
        let odd = Software::from_json(r#"{"python": "3\u00001", "packages": {"a\nb": "1"}}"#).unwrap();
        assert_eq!(odd, Software::default());
        assert_eq!(Software::from_json(r#"{"python": null}"#).unwrap(), Software::default());
    }
}
