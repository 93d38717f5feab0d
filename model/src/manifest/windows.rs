//! The key `windows`: walk-forward.

use jiff::civil::Date;
use serde_json::{Map, Value, json};

use super::definition::Manifest;
use super::document::{MapEntry, NodeKind, TextNode};
use super::draft::Draft;
use super::error::{Error, suggestion};
use super::range::Range;
use super::values::{map, scalar_text, unknown_key};
use crate::windows::{Fault, Period, Tail, Window, Windows};

const KEYS: [&str; 9] = ["train", "test", "step", "from", "to", "anchored", "purge", "tail", "overlap"];
const TAILS: [(&str, Tail); 2] = [("drop", Tail::Drop), ("keep", Tail::Keep)];
/// What a message shows of the key.
const EXAMPLE: &str = "{train: 3y, test: 6m, from: 2005-01-01, to: 2013-01-01}";

impl Manifest {
    /// The windows that its jobs are run in; none if it has no walk-forward.
    pub fn window_list(&self) -> Result<Vec<Window>, Error> {
        let at = |fault: Fault| {
            let place = self.places.of(&format!("windows.{}", fault.key));
            Error::new(fault.message).or_at(place)
        };
        self.windows.as_ref().map_or(Ok(Vec::new()), |windows| windows.list().map_err(at))
    }
}

pub(super) fn read(draft: &mut Draft, node: &TextNode) -> Result<Windows, Error> {
    let entries = map(node, "`windows`")?;
    for entry in entries {
        let name = entry.name.as_str();
        if name == "embargo" {
            let message = "`windows` has no `embargo`: in walk-forward no training follows a test; leave a gap with `purge`";
            return Err(Error::new(message).or_at(Some(&entry.place)));
        }
        if !KEYS.contains(&name) {
            return Err(unknown_key(entry, "windows", KEYS));
        }
        draft.places.put(format!("windows.{name}"), entry.node.place.clone());
    }
    let find = |key: &str| entries.iter().find(|entry| entry.name == key);
    let need =
        |key: &str| find(key).ok_or_else(|| node.error(format!("`windows` has no `{key}`; write {EXAMPLE}")));
    let test = period(need("test")?, true)?;
    Ok(Windows {
        train: period(need("train")?, true)?,
        // Tests that follow each other without a gap.
        step: find("step").map_or(Ok(test.clone()), |entry| period(entry, true))?,
        test,
        from: date(need("from")?)?,
        to: date(need("to")?)?,
        anchored: find("anchored").map_or(Ok(false), flag)?,
        purge: find("purge").map(|entry| period(entry, false)).transpose()?.filter(|purge| !purge.is_zero()),
        tail: find("tail").map_or(Ok(Tail::default()), tail)?,
        overlap: find("overlap").map_or(Ok(false), flag)?,
    })
}

pub(super) fn write(windows: &Windows) -> Value {
    let mut written = Map::new();
    let mut put = |key: &str, value: Value| written.insert(key.to_owned(), value);
    for (key, period) in [("train", &windows.train), ("test", &windows.test), ("step", &windows.step)] {
        put(key, period.to_string().into());
    }
    for (key, date) in [("from", windows.from), ("to", windows.to)] {
        put(key, date.to_string().into());
    }
    for (key, is_set) in [("anchored", windows.anchored), ("overlap", windows.overlap)] {
        if is_set {
            put(key, true.into());
        }
    }
    if let Some(purge) = &windows.purge {
        put("purge", purge.to_string().into());
    }
    if windows.tail == Tail::Keep {
        put("tail", "keep".into());
    }
    written.into()
}

pub(super) fn schema() -> Value {
    let period = json!({"type": "string", "pattern": "^([0-9]+[ymwd])+$"});
    let date = json!({"type": "string", "format": "date"});
    json!({
        "type": "object",
        "properties": {
            "train": period,
            "test": period,
            "step": period,
            "from": date,
            "to": date,
            "anchored": {"type": "boolean"},
            "purge": period,
            "tail": {"enum": TAILS.map(|(word, _)| word)},
            "overlap": {"type": "boolean"},
        },
        "required": ["train", "test", "from", "to"],
        "additionalProperties": false,
    })
}

fn key_of(entry: &MapEntry) -> String {
    format!("windows.{}", entry.name)
}

fn period(entry: &MapEntry, above_zero: bool) -> Result<Period, Error> {
    let key = key_of(entry);
    let text = scalar_text(&entry.node, &key, "a period such as 6m")?;
    let period: Period = text.parse().map_err(|why| entry.node.error(format!("`{key}` {why}")))?;
    match above_zero && period.is_zero() {
        true => Err(entry.node.error(format!("`{key}` must be greater than zero"))),
        false => Ok(period),
    }
}

fn date(entry: &MapEntry) -> Result<Date, Error> {
    let key = key_of(entry);
    let text = scalar_text(&entry.node, &key, "a date such as 2005-01-31")?;
    let date = Range::is_date(&text).then(|| text.parse().ok()).flatten();
    date.ok_or_else(|| {
        let text: String = text.chars().take(40).collect();
        entry.node.error(format!("`{key}` has {text:?}, which is not a date such as 2005-01-31"))
    })
}

fn flag(entry: &MapEntry) -> Result<bool, Error> {
    match entry.node.kind {
        NodeKind::Bool(value) => Ok(value),
        _ => Err(entry.node.error(format!(
            "`{}` is {}; write true or false",
            key_of(entry),
            entry.node.describe()
        ))),
    }
}

fn tail(entry: &MapEntry) -> Result<Tail, Error> {
    let text = scalar_text(&entry.node, "windows.tail", "drop or keep")?;
    TAILS.iter().find(|(word, _)| *word == text).map(|(_, tail)| *tail).ok_or_else(|| {
        let hint = suggestion(&text, TAILS.map(|(word, _)| word), "choices");
        entry.node.error(format!("`windows.tail` has {text:?}{hint}"))
    })
}
