//! The keys that say by what a sweep is judged.

use serde_json::json;

use super::key::{ManifestKey, Recipe, replace};
use crate::manifest::holdout;
use crate::manifest::judged::{check_family, read_returns, write_returns};
use crate::manifest::values::{checked, text};
use crate::returns::SeriesKind;

pub(super) const KEYS: &[ManifestKey] = &[
    ManifestKey {
        name: "returns",
        alias: None,
        flags: &[],
        schema: || {
            let text = json!({"type": "string"});
            json!({
                "type": "object",
                "properties": {"path": text, "column": text, "date": text, "kind": {"enum": SeriesKind::NAMES}},
                "required": ["path", "column"],
                "additionalProperties": false,
            })
        },
        read: |draft, node| {
            draft.judged.returns = Some(read_returns(node)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.judged.returns, flags.judged.returns.take()),
        write: |manifest| manifest.judged.returns.as_ref().map(write_returns),
        // What is kept of a result; of one that was made without it nothing is.
        recipe: Recipe::Contains(|manifest, parts| {
            if let Some(file) = &manifest.judged.returns {
                parts.put("returns", write_returns(file));
            }
        }),
    },
    ManifestKey {
        name: "family",
        alias: None,
        flags: &["family"],
        schema: || json!({"type": "string", "minLength": 1, "maxLength": 200}),
        read: |draft, node| {
            draft.judged.family = Some(checked(node, text(node, "family")?, check_family)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.judged.family, flags.judged.family.take()),
        write: |manifest| manifest.judged.family.as_deref().map(|family| json!(family)),
        // With which trials it is counted.
        recipe: Recipe::Omits,
    },
    ManifestKey {
        name: "holdout",
        alias: None,
        flags: &[],
        schema: holdout::schema,
        read: |draft, node| {
            draft.judged.holdout = Some(holdout::read(node)?);
            Ok(())
        },
        merge: |file, flags| replace(&mut file.judged.holdout, flags.judged.holdout.take()),
        write: |manifest| manifest.judged.holdout.as_ref().map(holdout::write),
        // What its jobs see; how often others may see more does not change that.
        recipe: Recipe::Contains(|manifest, parts| {
            if let Some(holdout) = &manifest.judged.holdout {
                let mut cut = holdout::write(holdout);
                cut.as_object_mut().map(|cut| cut.remove("looks"));
                parts.put("holdout", cut);
            }
        }),
    },
];
