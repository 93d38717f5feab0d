//! What is wrong with a manifest, and where.

use std::fmt;

use crate::nearest::nearest;
use crate::text::remark;

/// One mistake: the first that was found. Its text names the thing, what is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// The file, or another name for the source of the text.
    pub origin: Option<String>,
    /// Counted from 1.
    pub line: Option<u32>,
    /// Counted from 1, in characters.
    pub column: Option<u32>,
    pub message: String,
}

impl Error {
    /// A mistake without a place: in a flag, say.
    pub fn new(message: impl Into<String>) -> Self {
        Self { origin: None, line: None, column: None, message: message.into() }
    }

    /// The same mistake with its place, if it has none yet.
    #[must_use]
    pub fn or_at(mut self, place: Option<&TextPlace>) -> Self {
        if let (None, Some(place)) = (&self.origin, place) {
            self.origin = Some(place.origin.to_string());
            self.line = place.line;
            self.column = place.column;
        }
        self
    }

    /// The same mistake with its file, if it has none yet.
    #[must_use]
    pub fn or_in(mut self, origin: &str) -> Self {
        self.origin.get_or_insert_with(|| origin.to_owned());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}:")?;
            for number in [self.line, self.column].into_iter().flatten() {
                write!(f, "{number}:")?;
            }
            f.write_str(" ")?;
        }
        f.write_str(&remark(&self.message))
    }
}

/// Where a part of a manifest stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPlace {
    pub origin: std::sync::Arc<str>,
    pub line: Option<u32>,
    pub column: Option<u32>,
}

/// Where the parts of a manifest stand, for errors that are found later. A part has a path: `command.3`, `matrix.fast`.
#[derive(Clone, Debug, Default)]
pub struct Places(std::collections::BTreeMap<String, TextPlace>);

impl Places {
    pub(crate) fn put(&mut self, path: impl Into<String>, place: TextPlace) {
        self.0.insert(path.into(), place);
    }

    /// The place of the part, or of the nearest part around it.
    pub fn of(&self, path: &str) -> Option<&TextPlace> {
        let mut path = path;
        loop {
            if let Some(place) = self.0.get(path) {
                return Some(place);
            }
            path = path.rsplit_once('.')?.0;
        }
    }

    /// The file that the parts are from.
    pub(crate) fn origin(&self) -> Option<std::sync::Arc<str>> {
        self.0.values().next().map(|place| place.origin.clone())
    }

    pub(crate) fn take(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Forgets a part, but not what is in it.
    pub(crate) fn forget_only(&mut self, path: &str) {
        self.0.remove(path);
    }

    /// Forgets a part and all that is in it.
    pub(crate) fn forget(&mut self, path: &str) {
        self.0.retain(|known, _| {
            known.strip_prefix(path).is_none_or(|rest| !(rest.is_empty() || rest.starts_with('.')))
        });
    }
}

/// Two manifests that say the same are the same, wherever they say it.
impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// `; did you mean ...?`, or the list of what there is.
pub fn suggestion<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>, what: &str) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(wrong, known.iter().copied()) {
        Some(name) => format!("; did you mean `{name}`?"),
        None if known.is_empty() => format!("; there are no {what}"),
        None => format!("; the {what} are {}", known.join(", ")),
    }
}
