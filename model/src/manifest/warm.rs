//! `warm`: what jobs find imported already (`containers: warm`), and how many of them are run both ways.

use serde_json::{Map, Value, json};

use super::document::TextNode;
use super::error::Error;
use super::values::{list, map, number, parsed, text, unknown_key};

const KEYS: [&str; 3] = ["preload", "exclude", "verify"];
/// Jobs that are run in a container of their own, too, if the manifest names no number.
const DEFAULT_VERIFY: u32 = 1;
const MOST_VERIFIED: i64 = 1000;
const MOST_MODULES: usize = 256;
/// The longest name of a module.
const LONGEST_MODULE: usize = 200;

/// How `containers: warm` goes about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warm {
    /// Modules that are imported before the first job, besides those that its command imports.
    pub preload: Vec<String>,
    /// Modules that each job imports itself; one also stands for those below it.
    pub exclude: Vec<String>,
    verify: Option<u32>,
}

impl Warm {
    /// So many of the sweep's first jobs are run in a container of their own, too, and compared.
    pub fn verify(&self) -> u32 {
        self.verify.unwrap_or(DEFAULT_VERIFY)
    }
}

pub(super) fn read(node: &TextNode) -> Result<Warm, Error> {
    let mut warm = Warm::default();
    for entry in map(node, "`warm`")? {
        match entry.name.as_str() {
            "preload" => warm.preload = read_modules(&entry.node, "warm.preload")?,
            "exclude" => warm.exclude = read_modules(&entry.node, "warm.exclude")?,
            "verify" => warm.verify = Some(number(&entry.node, "warm.verify", 0, MOST_VERIFIED)? as u32),
            _ => return Err(unknown_key(entry, "warm", KEYS)),
        }
    }
    if let Some(both) = warm.preload.iter().find(|module| warm.exclude.contains(module)) {
        return Err(
            node.error(format!("`{both}` is in both `warm.preload` and `warm.exclude`; leave it in one"))
        );
    }
    Ok(warm)
}

pub(super) fn write(warm: &Warm) -> Value {
    let mut written = Map::new();
    for (key, modules) in [("preload", &warm.preload), ("exclude", &warm.exclude)] {
        if !modules.is_empty() {
            written.insert(key.to_owned(), json!(modules));
        }
    }
    written.extend(warm.verify.map(|verify| ("verify".to_owned(), verify.into())));
    written.into()
}

pub(super) fn schema() -> Value {
    let modules = json!({"type": "array", "items": {"type": "string"}, "maxItems": MOST_MODULES});
    json!({
        "type": "object",
        "properties": {
            "preload": modules,
            "exclude": modules,
            "verify": {"type": "integer", "minimum": 0, "maximum": MOST_VERIFIED},
        },
        "additionalProperties": false,
    })
}

fn read_modules(node: &TextNode, key: &str) -> Result<Vec<String>, Error> {
    let items = list(node, key, "a list of modules, such as [pandas, numpy.random]")?;
    if items.len() > MOST_MODULES {
        return Err(node.error(format!("`{key}` has {}; {MOST_MODULES} is the limit", items.len())));
    }
    items.iter().map(|item| parsed(item, &text(item, key)?, |name| module(name, key))).collect()
}

/// A dotted name, as `import` takes it.
fn module(name: &str, key: &str) -> Result<String, Error> {
    let is_word = |word: &str| {
        let mut letters = word.chars();
        letters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
            && letters.all(|letter| letter.is_alphanumeric() || letter == '_')
    };
    match name.len() <= LONGEST_MODULE && name.split('.').all(is_word) {
        true => Ok(name.to_owned()),
        false => Err(Error::new(format!(
            "`{key}` has {name:?}, which is not the name of a module; write one as after `import`, such as numpy.random"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::{Format, Manifest};

    fn read(lines: &str) -> Result<Manifest, super::Error> {
        let text = format!("image: x\ncommand: [python3, a.py]\n{lines}\n");
        Manifest::parse(text.as_bytes(), Format::Yaml, "s.yaml")?.finish()
    }

    #[test]
    fn it_travels_and_has_its_defaults() {
        let manifest =
            read("containers: warm\nwarm: { preload: [pandas, numpy.random], exclude: [polars], verify: 0 }");
        let manifest = manifest.unwrap();
        let warm = manifest.sandbox.warm();
        assert_eq!(warm.preload, ["pandas", "numpy.random"]);
        assert_eq!((warm.exclude.as_slice(), warm.verify()), (&["polars".to_owned()][..], 0));
        assert_eq!(Manifest::from_json(&manifest.to_json()).unwrap(), manifest);
        assert_eq!(read("containers: warm").unwrap().sandbox.warm().verify(), 1);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (lines, expected) in [
            (
                "containers: warm\nwarm: { preloads: [a] }",
                "unknown key `preloads` in `warm`; did you mean `preload`?",
            ),
            ("containers: warm\nwarm: { preload: a }", "write a list of modules"),
            (
                "containers: warm\nwarm: { preload: ['a b'] }",
                "`warm.preload` has \"a b\", which is not the name of a module",
            ),
            ("containers: warm\nwarm: { preload: [a..b] }", "not the name of a module"),
            ("containers: warm\nwarm: { preload: [a], exclude: [a] }", "in both"),
            ("containers: warm\nwarm: { verify: -1 }", "from 0 to 1000"),
            (
                "containers: reuse\nwarm: { verify: 2 }",
                "`warm` is for `containers: warm`, and `containers` is reuse",
            ),
            ("warm: { verify: 2 }", "`containers` is each"),
        ] {
            let told = read(lines).unwrap_err().to_string();
            assert!(told.contains(expected) && told.starts_with("s.yaml:"), "{lines}: {told}");
        }
    }
}
