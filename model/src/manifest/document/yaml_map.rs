//! A YAML map while it is read: its keys are texts, each stands once, and `<<` takes over another map's entries.

use std::collections::HashSet;

use super::{MapEntry, NodeKind, TextNode};
use crate::manifest::error::{Error, TextPlace};

const MERGE: &str = "<<";

/// A map that is not closed yet.
pub(super) struct MapFrame {
    place: TextPlace,
    entries: Vec<MapEntry>,
    names: HashSet<String>,
    /// A key whose value has not come yet.
    key: Option<(String, TextPlace)>,
    merges: Vec<TextNode>,
}

impl MapFrame {
    pub(super) fn new(place: TextPlace) -> Self {
        Self { place, entries: Vec::new(), names: HashSet::new(), key: None, merges: Vec::new() }
    }

    pub(super) fn place(&self) -> &TextPlace {
        &self.place
    }

    /// Takes the next key, or the value of the last one.
    pub(super) fn add(&mut self, node: TextNode) -> Result<(), Error> {
        let Some((name, place)) = self.key.take() else {
            self.key = Some((name_of(&node)?, node.place));
            return Ok(());
        };
        if name == MERGE {
            self.merges.push(node);
            return Ok(());
        }
        if !self.names.insert(name.clone()) {
            let message = format!("the key `{name}` stands twice; leave one of them out");
            return Err(Error::new(message).or_at(Some(&place)));
        }
        self.entries.push(MapEntry { name, place, node });
        Ok(())
    }

    /// The map; what is merged follows its own entries, which win.
    pub(super) fn finish(mut self) -> Result<TextNode, Error> {
        for merged in std::mem::take(&mut self.merges) {
            match merged.kind {
                NodeKind::Map(entries) => self.merge(entries),
                NodeKind::List(maps) => {
                    for map in maps {
                        match map.kind {
                            NodeKind::Map(entries) => self.merge(entries),
                            _ => return Err(not_a_map(&map)),
                        }
                    }
                }
                _ => return Err(not_a_map(&merged)),
            }
        }
        Ok(TextNode { place: self.place, kind: NodeKind::Map(self.entries), written: None })
    }

    fn merge(&mut self, entries: Vec<MapEntry>) {
        for entry in entries {
            if self.names.insert(entry.name.clone()) {
                self.entries.push(entry);
            }
        }
    }
}

fn not_a_map(node: &TextNode) -> Error {
    node.error(format!("`<<` has {}; it takes the entries of a map, such as <<: *defaults", node.describe()))
}

fn name_of(key: &TextNode) -> Result<String, Error> {
    match (&key.kind, &key.written) {
        (NodeKind::List(_) | NodeKind::Map(_), _) => {
            Err(key.error(format!("a key is {}; write a text", key.describe())))
        }
        (NodeKind::Text(name), _) => Ok(name.clone()),
        (_, Some(written)) if !written.is_empty() => Ok(written.clone()),
        _ => Err(key.error("a key is empty; write `key: value`, or put the text into quotes")),
    }
}
