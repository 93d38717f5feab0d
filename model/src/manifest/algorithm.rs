//! The manifest of an algorithm, another system's form, which is taken as it is:
//!
//! ```json
//! {"container_parameters": {"image": "...", "command": ["..."],
//!                           "resource_request": {"gpu": 0, "memory_gb": 5, "cpu_millicore": 200}}}
//! ```
//!
//! What else stands beside `container_parameters` is that system's, and is left alone, unless it asks for many jobs:
//! that would be lost silently.

use super::check;
use super::document::{MapEntry, NodeKind};
use super::draft::Draft;
use super::error::Error;
use super::keys::read_needs;
use super::values::{checked, list, map, scalar_text, text, unknown_key};
use crate::braces;

const KEYS: [&str; 3] = ["image", "command", "resource_request"];
const OURS: [&str; 6] = ["image", "command", "matrix", "params_from", "where", "sample"];

pub(super) fn read(top: &[MapEntry], container: &MapEntry) -> Result<Draft, Error> {
    if let Some(entry) = top.iter().find(|entry| OURS.contains(&entry.name.as_str())) {
        let message = format!(
            "`{}` stands beside `container_parameters`, where it has no effect; write the one form or the other",
            entry.name
        );
        return Err(Error::new(message).or_at(Some(&entry.place)));
    }
    let mut draft = Draft::default();
    // That system's names may be titles; one that is none of ours is left to the image's.
    let name = top.iter().find(|entry| entry.name == "name").map(|entry| &entry.node.kind);
    if let Some(NodeKind::Text(name)) = name {
        draft.name = check::name(name.clone()).ok();
    }
    for entry in map(&container.node, "`container_parameters`")? {
        let node = &entry.node;
        match entry.name.as_str() {
            "image" => {
                draft.places.put("image", node.place.clone());
                draft.image = Some(checked(node, text(node, "image")?, check::image)?);
            }
            "command" => {
                draft.places.put("command", node.place.clone());
                let words = list(node, "command", "a list of words")?.iter();
                // That form has no templates, so braces in it are braces.
                let words = words
                    .map(|word| scalar_text(word, "command", "words").map(|word| braces::literal(&word)));
                draft.command = Some(checked(node, words.collect::<Result<_, _>>()?, check::command)?);
            }
            "resource_request" => {
                draft.needs = read_needs(map(node, "`resource_request`")?, "resource_request")?;
            }
            _ => return Err(unknown_key(entry, "container_parameters", KEYS)),
        }
    }
    if draft.image.is_none() {
        let message = "`container_parameters` has no `image`; name the image to run";
        return Err(container.node.error(message));
    }
    Ok(draft)
}
