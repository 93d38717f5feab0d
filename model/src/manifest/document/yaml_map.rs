//! A YAML map while it is read: its keys are texts, each stands once, and `<<` takes over another map's entries.

use std::collections::HashSet;

use super::{Entry, Kind, Node};
use crate::manifest::error::{Error, Place};

const MERGE: &str = "<<";

/// A map that is not closed yet.
pub(super) struct MapFrame {
    place: Place,
    entries: Vec<Entry>,
    names: HashSet<String>,
    /// A key whose value has not come yet.
    key: Option<(String, Place)>,
    merges: Vec<Node>,
}

impl MapFrame {
    pub(super) fn new(place: Place) -> Self {
        Self { place, entries: Vec::new(), names: HashSet::new(), key: None, merges: Vec::new() }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Takes the next key, or the value of the last one.
    pub(super) fn add(&mut self, node: Node) -> Result<(), Error> {
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
        self.entries.push(Entry { name, place, node });
        Ok(())
    }

    /// The map; what is merged follows its own entries, which win.
    pub(super) fn finish(mut self) -> Result<Node, Error> {
        for merged in std::mem::take(&mut self.merges) {
            match merged.kind {
                Kind::Map(entries) => self.merge(entries),
                Kind::List(maps) => {
                    for map in maps {
                        match map.kind {
                            Kind::Map(entries) => self.merge(entries),
                            _ => return Err(not_a_map(&map)),
                        }
                    }
                }
                _ => return Err(not_a_map(&merged)),
            }
        }
        Ok(Node { place: self.place, kind: Kind::Map(self.entries), written: None })
    }

    fn merge(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            if self.names.insert(entry.name.clone()) {
                self.entries.push(entry);
            }
        }
    }
}

fn not_a_map(node: &Node) -> Error {
    node.error(format!("`<<` has {}; it takes the entries of a map, such as <<: *defaults", node.describe()))
}

fn name_of(key: &Node) -> Result<String, Error> {
    match (&key.kind, &key.written) {
        (Kind::List(_) | Kind::Map(_), _) => {
            Err(key.error(format!("a key is {}; write a text", key.describe())))
        }
        (Kind::Text(name), _) => Ok(name.clone()),
        (_, Some(written)) if !written.is_empty() => Ok(written.clone()),
        _ => Err(key.error("a key is empty; write `key: value`, or put the text into quotes")),
    }
}
