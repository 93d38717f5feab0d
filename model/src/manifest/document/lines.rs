//! Where the lines of a text begin, so that the place of a byte is found fast.

use std::sync::Arc;

use crate::manifest::error::TextPlace;

/// A text, its name, and its lines.
pub(super) struct TextLines<'t> {
    text: &'t str,
    origin: &'t Arc<str>,
    /// The byte at which each line begins.
    starts: Vec<usize>,
}

impl<'t> TextLines<'t> {
    pub(super) fn new(text: &'t str, origin: &'t Arc<str>) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
        Self { text, origin, starts: starts.collect() }
    }

    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    pub(super) fn origin(&self) -> &Arc<str> {
        self.origin
    }

    /// The place of a byte of the text.
    pub(super) fn place(&self, byte: usize) -> TextPlace {
        let line = self.starts.partition_point(|start| *start <= byte).max(1);
        let start = self.starts[line - 1];
        let before = self.text.get(start..byte.min(self.text.len()));
        TextPlace {
            origin: self.origin.clone(),
            line: u32::try_from(line).ok(),
            column: before.and_then(|before| u32::try_from(before.chars().count() + 1).ok()),
        }
    }
}
