//! From the tree of a text to a [`Draft`], by the table of keys. A mistake has the place where it stands.

use std::collections::BTreeMap;

use super::definition::Manifest;
use super::document::{Format, MapEntry, NodeKind, TextNode};
use super::draft::Draft;
use super::error::{Error, suggestion};
use super::values::map;
use super::{algorithm, keys};

impl Manifest {
    /// Parses a manifest. `origin` is the file's name, for errors.
    pub fn parse(text: &[u8], format: Format, origin: &str) -> Result<Draft, Error> {
        let draft = read(&TextNode::parse(text, format, origin)?)?;
        // Only the wire has rows that travel apart; in a file, the list is missing.
        if draft.params.as_ref().is_some_and(Vec::is_empty) {
            let message = "`params` is a text; write a list of maps, one for each job";
            return Err(Error::new(message).or_at(draft.places.of("params")));
        }
        Ok(draft)
    }
}

/// Reads a manifest, in our form or in an algorithm's.
pub(super) fn read(root: &TextNode) -> Result<Draft, Error> {
    if let NodeKind::Map(entries) = &root.kind
        && let Some(entry) = entries.iter().find(|entry| entry.name == "container_parameters")
    {
        return algorithm::read(entries, entry);
    }
    let entries = match &root.kind {
        NodeKind::Null => return Err(root.error("the manifest is empty; it needs an `image` at least")),
        _ => map(root, "the manifest")?,
    };
    let mut draft = Draft::default();
    check_aliases(entries)?;
    for entry in entries {
        read_key(&mut draft, entry)?;
    }
    check_alternatives(entries)?;
    Ok(draft)
}

fn read_key(draft: &mut Draft, entry: &MapEntry) -> Result<(), Error> {
    let node = &entry.node;
    let Some(key) = keys::find(&entry.name) else {
        let name = &entry.name;
        let hint = suggestion(name, keys::all().map(|key| key.name), "keys");
        return Err(Error::new(format!("unknown key `{name}`{hint}")).or_at(Some(&entry.place)));
    };
    draft.places.put(key.name, node.place.clone());
    (key.read)(draft, node)?;
    draft.sandbox.check_values().map_err(|(_, message)| node.error(message))
}

/// A key under its name here and under the one it has elsewhere.
fn check_aliases(entries: &[MapEntry]) -> Result<(), Error> {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for entry in entries {
        if let Some(other) =
            names.insert(keys::find(&entry.name).map_or(&*entry.name, |key| key.name), &entry.name)
        {
            let message = format!("both `{other}` and `{}` are given; one is enough", entry.name);
            return Err(Error::new(message).or_at(Some(&entry.place)));
        }
    }
    Ok(())
}

fn check_alternatives(entries: &[MapEntry]) -> Result<(), Error> {
    let mut given =
        entries.iter().filter(|entry| ["matrix", "params", "params_from"].contains(&entry.name.as_str()));
    match (given.next(), given.next()) {
        (Some(first), Some(second)) => Err(Error::new(format!(
            "both `{}` and `{}` are given; the jobs come from one of matrix, params, params_from",
            first.name, second.name
        ))
        .or_at(Some(&second.place))),
        _ => Ok(()),
    }
}
