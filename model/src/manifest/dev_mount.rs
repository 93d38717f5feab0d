//! `dev_mount`: local directories that were laid over the image (`btctl submit --dev-mount`), by what they hold.

use serde_json::{Value, json};

use super::document::TextNode;
use super::error::Error;
use super::values::{list, map, number, parsed, text, unknown_key};
use super::volume::absolute_path;

const KEYS: [&str; 4] = ["target", "sha256", "files", "bytes"];
/// The most directories of one manifest.
pub(super) const MAX_DEV_MOUNTS: usize = 8;

/// A directory that each job finds at `target`, read-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevMount {
    /// An absolute path in the container.
    pub target: String,
    /// Of the archive of what the directory held, as 64 lower-case hexadecimal digits.
    pub sha256: String,
    pub files: u32,
    /// Of all files together.
    pub bytes: u64,
}

impl DevMount {
    /// What is said wherever a result is shown.
    pub fn words(mounts: &[Self]) -> Option<String> {
        let each = mounts.iter().map(|mount| format!("dev mount {} sha256 {}", mount.target, mount.sha256));
        let each: Vec<_> = each.collect();
        (!each.is_empty()).then(|| format!("not reproducible: {}", each.join(", ")))
    }

    /// A list, as manifests and Postgres have it; none if there are none.
    pub fn to_json(mounts: &[Self]) -> Option<Value> {
        (!mounts.is_empty()).then(|| write(mounts))
    }

    /// What [`Self::to_json`] has written.
    pub fn of_json(list: &Value) -> Vec<Self> {
        let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
        let one = |one: &Value| Self {
            target: text(one, "target"),
            sha256: text(one, "sha256"),
            files: one["files"].as_u64().and_then(|files| u32::try_from(files).ok()).unwrap_or_default(),
            bytes: one["bytes"].as_u64().unwrap_or_default(),
        };
        list.as_array().into_iter().flatten().map(one).collect()
    }

    /// The SHA-256 as bytes.
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        for (byte, digits) in hash.iter_mut().zip(self.sha256.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).unwrap_or_default();
            *byte = u8::from_str_radix(digits, 16).unwrap_or_default();
        }
        hash
    }
}

/// `./src:/pkg`: a directory here, and where jobs find it.
pub fn parse_dev_mount_flag(flag: &str) -> Result<(String, String), Error> {
    let fails = |why: &str| Error::new(format!("{flag:?} {why}; write DIR:TARGET, such as ./src:/pkg"));
    let (dir, target) = flag.rsplit_once(':').ok_or_else(|| fails("names no target"))?;
    if dir.is_empty() {
        return Err(fails("names no directory"));
    }
    Ok((dir.to_owned(), absolute_path(target).map_err(|why| fails(&why))?))
}

pub(super) fn read(node: &TextNode) -> Result<Vec<DevMount>, Error> {
    list(node, "dev_mount", "a list, as `btctl submit --dev-mount` writes it")?.iter().map(read_one).collect()
}

fn read_one(node: &TextNode) -> Result<DevMount, Error> {
    let (mut target, mut sha256, mut files, mut bytes) = (None, None, None, None);
    for entry in map(node, "an item of `dev_mount`")? {
        let node = &entry.node;
        match entry.name.as_str() {
            "target" => {
                let path = text(node, "dev_mount.target")?;
                let read = |path: &str| {
                    absolute_path(path).map_err(|why| Error::new(format!("`dev_mount.target` {why}")))
                };
                target = Some(parsed(node, &path, read)?);
            }
            "sha256" => sha256 = Some(parsed(node, &text(node, "dev_mount.sha256")?, digits)?),
            "files" => files = Some(number(node, "dev_mount.files", 1, u32::MAX.into())? as u32),
            "bytes" => bytes = Some(number(node, "dev_mount.bytes", 0, i64::MAX)? as u64),
            _ => return Err(unknown_key(entry, "dev_mount", KEYS)),
        }
    }
    match (target, sha256, files, bytes) {
        (Some(target), Some(sha256), Some(files), Some(bytes)) => {
            Ok(DevMount { target, sha256, files, bytes })
        }
        _ => Err(node.error(format!(
            "an item of `dev_mount` needs {}; `btctl submit --dev-mount DIR:TARGET` makes it from a directory",
            KEYS.join(", ")
        ))),
    }
}

fn digits(text: &str) -> Result<String, Error> {
    let is_lower = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
    match text.len() == 64 && text.bytes().all(is_lower) {
        true => Ok(text.to_owned()),
        false => Err(Error::new("`dev_mount.sha256` is not a SHA-256 of 64 lower-case hexadecimal digits")),
    }
}

pub(super) fn write(mounts: &[DevMount]) -> Value {
    let one = |mount: &DevMount| {
        let DevMount { target, sha256, files, bytes } = mount;
        json!({"target": target, "sha256": sha256, "files": files, "bytes": bytes})
    };
    mounts.iter().map(one).collect()
}

pub(super) fn schema() -> Value {
    json!({
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "target": {"type": "string", "pattern": "^/"},
                "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                "files": {"type": "integer", "minimum": 1},
                "bytes": {"type": "integer", "minimum": 0},
            },
            "required": KEYS,
            "additionalProperties": false,
        },
        "maxItems": MAX_DEV_MOUNTS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Format, Manifest};

    fn read(text: &str) -> Result<Manifest, Error> {
        Manifest::parse(format!("image: x\n{text}").as_bytes(), Format::Yaml, "s.yaml")?.finish()
    }

    fn item(target: &str, sha256: &str) -> String {
        format!("dev_mount: [{{ target: {target}, sha256: '{sha256}', files: 2, bytes: 7 }}]\n")
    }

    #[test]
    fn it_survives_the_wire_and_says_what_it_is() {
        let sha256 = "0a".repeat(32);
        let manifest = read(&item("/pkg/", &sha256)).unwrap();
        let mounts = &manifest.sandbox.dev_mounts;
        assert_eq!(*mounts, [DevMount { target: "/pkg".into(), sha256: sha256.clone(), files: 2, bytes: 7 }]);
        assert_eq!(Manifest::from_json(&manifest.to_json()).unwrap().sandbox.dev_mounts, *mounts);
        assert_eq!(mounts[0].hash(), [10; 32]);
        let words = DevMount::words(mounts).unwrap();
        assert_eq!(words, format!("not reproducible: dev mount /pkg sha256 {sha256}"));
        assert_eq!(DevMount::words(&[]), None);
    }

    #[test]
    fn mistakes_are_named() {
        let sha256 = "0a".repeat(32);
        for (text, expected) in [
            (item("pkg", &sha256), "does not start with `/`"),
            (item("/pkg", "abc"), "not a SHA-256"),
            (item("/results/x", &sha256), "overlaps with `results`"),
            (format!("{}volumes: ['p:/pkg/data']", item("/pkg", &sha256)), "overlaps with"),
            (format!("{}cache: /pkg", item("/pkg", &sha256)), "overlaps with"),
            ("dev_mount: [{ target: /pkg }]".into(), "needs target, sha256, files, bytes"),
            ("dev_mount: [{ targt: /pkg }]".into(), "did you mean `target`?"),
            ("dev_mount: ['./src:/pkg']".into(), "write a map"),
        ] {
            let told = read(&text).unwrap_err().to_string();
            assert!(told.contains(expected), "{text}: {told}");
        }
        assert_eq!(parse_dev_mount_flag("./a:b:/pkg/").unwrap(), ("./a:b".into(), "/pkg".into()));
        for (flag, expected) in [
            ("./src", "names no target"),
            (":/pkg", "names no directory"),
            ("./src:pkg", "does not start with `/`"),
            ("./src:/", "the root"),
        ] {
            let told = parse_dev_mount_flag(flag).unwrap_err().to_string();
            assert!(told.contains(expected), "{flag}: {told}");
        }
    }
}
