//! The sweeps that one waits for: the key `after`.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

use super::document::{NodeKind, TextNode};
use super::error::Error;
use super::values::{scalar_text, unknown_key};

/// Sweeps that one waits for at most.
pub(super) const MAX_AFTER: usize = 16;
/// Letters of a sweep's name or id.
const LONGEST: usize = 63;
/// What follows a sweep's name in a flag if any end of it will do.
const ANY_END: &str = ":ended";

/// How a sweep must end for another one to start after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum On {
    /// All its jobs have succeeded.
    #[default]
    Succeeded,
    /// However it has ended.
    Ended,
}

impl On {
    pub(super) const ALL: [Self; 2] = [Self::Succeeded, Self::Ended];

    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Ended => "ended",
        }
    }
}

/// A sweep that must end first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    /// Its name or id, as it is written.
    pub sweep: String,
    pub on: On,
}

/// As the flag has it: `NAME`, or `NAME:ended`.
impl FromStr for After {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (sweep, on) = match text.strip_suffix(ANY_END) {
            Some(sweep) => (sweep, On::Ended),
            None => (text, On::Succeeded),
        };
        check_sweep(sweep).map_err(Error::new)?;
        Ok(Self { sweep: sweep.to_owned(), on })
    }
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.on == On::Ended { ANY_END } else { "" };
        write!(f, "{}{end}", self.sweep)
    }
}

pub(super) fn check(after: &[After]) -> Result<(), String> {
    if after.len() > MAX_AFTER {
        return Err(format!("`after` has {}; {MAX_AFTER} is the limit", after.len()));
    }
    for (index, one) in after.iter().enumerate() {
        check_sweep(&one.sweep)?;
        if after[..index].iter().any(|other| other.sweep == one.sweep) {
            return Err(format!("`after` names {} twice; leave one of them out", one.sweep));
        }
    }
    Ok(())
}

fn check_sweep(sweep: &str) -> Result<(), String> {
    let can_be = !sweep.is_empty()
        && sweep.len() <= LONGEST
        && sweep.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if can_be {
        return Ok(());
    }
    let shown: String = sweep.chars().take(LONGEST).collect();
    Err(format!("`after` has {shown:?}, which is not the name or id of a sweep"))
}

/// One sweep, or a list of them.
pub(super) fn read(node: &TextNode) -> Result<Vec<After>, Error> {
    let after = match &node.kind {
        NodeKind::List(nodes) => nodes.iter().map(read_one).collect::<Result<Vec<_>, _>>()?,
        _ => vec![read_one(node)?],
    };
    check(&after).map_err(|told| node.error(told))?;
    Ok(after)
}

fn read_one(node: &TextNode) -> Result<After, Error> {
    const WHAT: &str = "the name or id of a sweep, or {sweep: NAME, on: ended}";
    let NodeKind::Map(entries) = &node.kind else {
        return Ok(After { sweep: scalar_text(node, "after", WHAT)?, on: On::Succeeded });
    };
    let (mut sweep, mut on) = (None, On::Succeeded);
    for entry in entries {
        match entry.name.as_str() {
            "sweep" => sweep = Some(scalar_text(&entry.node, "after.sweep", "the name or id of a sweep")?),
            "on" => {
                let text = scalar_text(&entry.node, "after.on", "succeeded or ended")?;
                let known = On::ALL.into_iter().find(|on| on.name() == text);
                on = known.ok_or_else(|| {
                    let shown: String = text.chars().take(LONGEST).collect();
                    entry.node.error(format!("`after.on` is {shown:?}; write succeeded or ended"))
                })?;
            }
            _ => return Err(unknown_key(entry, "after", ["sweep", "on"])),
        }
    }
    let sweep = sweep.ok_or_else(|| node.error(format!("`after` names no sweep; write {WHAT}")))?;
    Ok(After { sweep, on })
}

pub(super) fn write(after: &[After]) -> Option<Value> {
    let one = |after: &After| match after.on {
        On::Succeeded => json!(after.sweep),
        On::Ended => json!({"sweep": after.sweep, "on": after.on.name()}),
    };
    (!after.is_empty()).then(|| after.iter().map(one).collect())
}

pub(super) fn schema() -> Value {
    let name = json!({"type": ["string", "number"]});
    let map = json!({
        "type": "object",
        "properties": {"sweep": name, "on": {"enum": On::ALL.map(On::name)}},
        "required": ["sweep"],
        "additionalProperties": false,
    });
    let sweep = json!({"anyOf": [name, map]});
    json!({"anyOf": [name, map, {"type": "array", "items": sweep, "maxItems": MAX_AFTER}]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_names_a_sweep_and_how_it_must_end() {
        for (text, on) in
            [("prices", On::Succeeded), ("prices:ended", On::Ended), ("0a1b2c3d", On::Succeeded)]
        {
            let after: After = text.parse().unwrap();
            assert_eq!((after.on, after.to_string()), (on, text.to_owned()));
        }
        for text in ["", ":ended", "a b", "prices:failed", "a\nb", &"a".repeat(64)] {
            let told = text.parse::<After>().unwrap_err().to_string();
            assert!(told.contains("is not the name or id of a sweep"), "{text}: {told}");
        }
    }
}
