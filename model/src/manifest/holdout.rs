//! The key `holdout`: from which day on jobs see no data, until a look is spent.

use jiff::civil::Date;
use serde_json::{Value, json};

use super::document::{MapEntry, TextNode};
use super::error::{Error, suggestion};
use super::judged::check_column;
use super::range::Range;
use super::values::{list, map, number, scalar_text, text};

const KEYS: [&str; 4] = ["from", "looks", "date", "volumes"];
/// What a message shows of the key.
const EXAMPLE: &str = "{from: 2012-01-01, looks: 3}";
/// No family has more looks.
pub const MAX_LOOKS: u32 = 1_000;
/// Volumes that are named at most.
const MAX_VOLUMES: usize = 64;

/// What is kept from the jobs of a family: rows of its data from a day on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdout {
    /// The first day that jobs do not see.
    pub from: Date,
    /// How many sweeps of the family may be run on the whole data.
    pub looks: u32,
    /// The column of the dates; absent: it is looked for.
    pub date: Option<String>,
    /// The volumes that are cut; absent: all that a manifest mounts.
    pub volumes: Option<Vec<String>>,
}

impl Holdout {
    /// True if a volume of this name is cut.
    pub fn cuts(&self, volume: &str) -> bool {
        self.volumes.as_ref().is_none_or(|volumes| volumes.iter().any(|cut| cut == volume))
    }

    /// As a manifest writes it, in one line.
    pub fn written(&self) -> String {
        let Self { from, looks, date, volumes } = self;
        let mut written = format!("{{from: {from}, looks: {looks}");
        if let Some(date) = date {
            written += &format!(", date: {date:?}");
        }
        if let Some(volumes) = volumes {
            written += &format!(", volumes: [{}]", volumes.join(", "));
        }
        written + "}"
    }
}

/// Reads `{from: 2012-01-01, looks: 3, date: Date, volumes: [prices]}`.
pub(super) fn read(node: &TextNode) -> Result<Holdout, Error> {
    let (mut from, mut looks, mut date, mut volumes) = (None, None, None, None);
    for entry in map(node, "`holdout`")? {
        match entry.name.as_str() {
            "from" => from = Some(first_day(entry)?),
            "looks" => {
                let given = number(&entry.node, "holdout.looks", 0, i64::from(MAX_LOOKS))?;
                looks = Some(u32::try_from(given).unwrap_or(MAX_LOOKS));
            }
            "date" => {
                let name = text(&entry.node, "holdout.date")?;
                let checked = check_column("holdout.date", name);
                date = Some(checked.map_err(|error| error.or_at(Some(&entry.node.place)))?);
            }
            "volumes" => volumes = Some(names(entry)?),
            unknown => {
                let hint = suggestion(unknown, KEYS, "keys of `holdout`");
                let message = format!("unknown key `{unknown}` in `holdout`{hint}");
                return Err(Error::new(message).or_at(Some(&entry.place)));
            }
        }
    }
    let missing = |key: &str| node.error(format!("`holdout` has no `{key}`; write {EXAMPLE}"));
    Ok(Holdout {
        from: from.ok_or_else(|| missing("from"))?,
        looks: looks.ok_or_else(|| missing("looks"))?,
        date,
        volumes,
    })
}

/// What [`read`] reads.
pub(super) fn write(holdout: &Holdout) -> Value {
    let Holdout { from, looks, date, volumes } = holdout;
    let mut written = json!({"from": from.to_string(), "looks": looks});
    if let Some(date) = date {
        written["date"] = json!(date);
    }
    if let Some(volumes) = volumes {
        written["volumes"] = json!(volumes);
    }
    written
}

pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "from": {"type": "string", "format": "date"},
            "looks": {"type": "integer", "minimum": 0, "maximum": MAX_LOOKS},
            "date": {"type": "string"},
            "volumes": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        },
        "required": ["from", "looks"],
        "additionalProperties": false,
    })
}

fn first_day(entry: &MapEntry) -> Result<Date, Error> {
    let text = scalar_text(&entry.node, "holdout.from", "a date such as 2012-01-01")?;
    let date = Range::is_date(&text).then(|| text.parse().ok()).flatten();
    date.ok_or_else(|| {
        let text: String = text.chars().take(40).collect();
        entry.node.error(format!("`holdout.from` has {text:?}, which is not a date such as 2012-01-01"))
    })
}

/// Sorted, each once: the order means nothing.
fn names(entry: &MapEntry) -> Result<Vec<String>, Error> {
    let items = list(&entry.node, "holdout.volumes", "a list of volumes: [prices]")?;
    let names = items.iter().map(|item| text(item, "holdout.volumes"));
    let mut names = names.collect::<Result<Vec<_>, _>>()?;
    names.sort_unstable();
    names.dedup();
    match names.len() {
        0 => Err(entry
            .node
            .error("`holdout.volumes` is empty; name the volumes to cut, or leave it out to cut all")),
        1..=MAX_VOLUMES => Ok(names),
        count => Err(entry
            .node
            .error(format!("`holdout.volumes` has {count} volumes; {MAX_VOLUMES} are the most"))),
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::{Format, Manifest};

    fn manifest(lines: &str) -> Result<Manifest, String> {
        let text = format!("image: x\n{lines}\n");
        let draft = Manifest::parse(text.as_bytes(), Format::Yaml, "s.yaml");
        let manifest = draft.and_then(|draft| draft.finish()).map_err(|error| error.to_string())?;
        manifest.admit_holdout().map_err(|error| error.to_string())?;
        let sent = Manifest::from_json(&manifest.to_json()).map_err(|error| error.to_string())?;
        assert_eq!(sent.judged, manifest.judged);
        Ok(manifest)
    }

    const FROM: &str = "holdout: { from: 2012-01-01, looks: 3 }";

    #[test]
    fn it_cuts_what_is_mounted_or_what_it_names() {
        let holdout = |lines: &str| manifest(lines).unwrap().judged.holdout.unwrap();
        let plain = holdout(&format!("{FROM}\nvolumes: ['prices:/data:ro']"));
        assert_eq!((plain.from.to_string(), plain.looks), ("2012-01-01".to_owned(), 3));
        assert!(plain.cuts("prices") && plain.cuts("other"));
        assert_eq!(plain.written(), "{from: 2012-01-01, looks: 3}");
        let named = holdout(
            "holdout: { from: '2012-01-01', looks: 0, date: Date, volumes: [q, p, q] }\nvolumes: ['p:/p:ro', 'q:/q:ro', 'r:/r']",
        );
        assert!(named.cuts("p") && !named.cuts("r"));
        assert_eq!(named.written(), r#"{from: 2012-01-01, looks: 0, date: "Date", volumes: [p, q]}"#);
        let crosses = "windows: { train: 1y, test: 1y, from: 2009-07-01, to: 2012-07-01 }";
        manifest(&format!("{FROM}\nvolumes: ['p:/p:ro']\n{crosses}")).unwrap();
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let mounted = "volumes: ['prices:/data:ro']";
        for (line, part) in [
            ("holdout: 2012-01-01", "write a map"),
            ("holdout: { from: 2012-01-01 }", "`holdout` has no `looks`; write {from: 2012-01-01, looks: 3}"),
            ("holdout: { looks: 3 }", "has no `from`"),
            ("holdout: { from: 1.1.2012, looks: 3 }", "not a date such as 2012-01-01"),
            ("holdout: { from: 2012-01-01, looks: 1001 }", "a whole number from 0 to 1000"),
            ("holdout: { from: 2012-01-01, looks: -1 }", "a whole number from 0 to 1000"),
            ("holdout: { from: 2012-01-01, look: 3 }", "did you mean `looks`?"),
            ("holdout: { from: 2012-01-01, looks: 3, volumes: [] }", "leave it out to cut all"),
            ("holdout: { from: 2012-01-01, looks: 3, volumes: prices }", "a list of volumes"),
            (
                "holdout: { from: 2012-01-01, looks: 3, volumes: [price] }",
                "names price, which the manifest does not mount",
            ),
        ] {
            let error = manifest(&format!("{line}\n{mounted}")).unwrap_err();
            assert!(error.starts_with("s.yaml:2:") && error.contains(part), "{line}: {error}");
        }
        for (lines, part) in [
            (FROM.to_owned(), "nothing to cut"),
            (
                format!("{FROM}\nvolumes: ['prices:/data']"),
                "mount it as prices:/data:ro; the sweep that sets a holdout can list",
            ),
            (
                format!(
                    "{FROM}\n{mounted}\nwindows: {{ train: 1y, test: 1y, from: 2009-01-01, to: 2013-01-01 }}"
                ),
                "tested from 2012-01-01 on, and its jobs see no data from 2012-01-01 on",
            ),
        ] {
            let error = manifest(&lines).unwrap_err();
            assert!(error.starts_with("s.yaml:") && error.contains(part), "{lines}: {error}");
        }
    }
}
