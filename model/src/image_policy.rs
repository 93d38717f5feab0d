//! Which images may run: by digest, by tag, by registry and repository.
//!
//! Names are compared as Docker normalises them: `x` means `docker.io/library/x`, and a registry's capitals don't count.

use std::fmt;
use std::str::FromStr;

use crate::image::{check, is_domain, is_id, is_pin};

/// The registry of a name that says none.
const HUB: &str = "docker.io";
/// Another name of the same registry.
const OLD_HUB: &str = "index.docker.io";
/// Where images without an owner are in it.
const LIBRARY: &str = "library";
/// Fewer signs than this are no beginning of an image's id to any engine.
const SHORTEST_ID: usize = 2;

/// An image's name in parts, as Docker normalises it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Host and port, in small letters.
    pub registry: String,
    pub repository: String,
    pub tag: Option<String>,
    /// `sha256:` and 64 digits.
    pub digest: Option<String>,
}

impl Reference {
    /// Takes a name apart. An image's id is none. The error says what is wrong and what would be right.
    pub fn parse(image: &str) -> Result<Self, String> {
        check(image)?;
        if image.starts_with("sha256:") {
            return Err("is an image's id, not a name".to_owned());
        }
        let (name, digest) = match image.split_once('@') {
            Some((name, digest)) => (name, Some(digest.to_owned())),
            None => (image, None),
        };
        let last = name.rfind('/').map_or(0, |slash| slash + 1);
        let (path, tag) = match name[last..].find(':') {
            Some(colon) => (&name[..last + colon], Some(name[last + colon + 1..].to_owned())),
            None => (name, None),
        };
        let (registry, repository) = split(path);
        Ok(Self { registry, repository, tag, digest })
    }

    /// True where the name without tag and digest could be the beginning of an image's id as well.
    fn could_be_an_id(&self) -> bool {
        let name = self.repository.strip_prefix("library/").unwrap_or(&self.repository);
        self.registry == HUB
            && self.tag.is_none()
            && self.digest.is_none()
            && name.len() >= SHORTEST_ID
            && name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    }

    /// Registry and repository.
    pub fn place(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }
}

/// Registry and repository of a name without tag and digest.
fn split(path: &str) -> (String, String) {
    let (registry, rest) = match path.split_once('/') {
        Some((first, rest)) if is_domain(first) => (first.to_ascii_lowercase(), rest),
        _ => (HUB.to_owned(), path),
    };
    let registry = if registry == OLD_HUB { HUB.to_owned() } else { registry };
    let repository = match registry == HUB && !rest.contains('/') {
        true => format!("{LIBRARY}/{rest}"),
        false => rest.to_owned(),
    };
    (registry, repository)
}

/// Images that are allowed: those of a repository, `registry.firm.example/quant/*`, or by their id, `sha256:*`. A `*` stands
/// for any signs of a repository, slashes too; `*.firm.example/...` is any registry below firm.example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePattern(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    AnyId,
    Id(String),
    Repository { registry: String, repository: String },
}

impl FromStr for ImagePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(digits) = text.strip_prefix("sha256:") {
            return match digits {
                "*" => Ok(Self(Kind::AnyId)),
                _ if is_id(text) => Ok(Self(Kind::Id(text.to_owned()))),
                _ => Err("an image's id is sha256: and 64 digits; sha256:* is any".to_owned()),
            };
        }
        if matches!(text, "" | "*" | "**" | "*/*") {
            return Err(
                "it would allow every image, as no such setting does; name a registry, such as docker.io/*"
                    .to_owned(),
            );
        }
        if text.contains('@') {
            return Err("it names a digest; a pattern names registry and repository alone".to_owned());
        }
        let (first, rest) = text.split_once('/').unwrap_or(("", text));
        let last = rest.rsplit('/').next().unwrap_or(rest);
        if first.is_empty() && last.contains(['.', ':']) {
            return Err(format!(
                "it names a registry without a repository, or a tag; write {text}/* for all of a registry, and no tag"
            ));
        }
        if last.contains(':') {
            return Err("it names a tag; a pattern names registry and repository alone".to_owned());
        }
        // The name that it is without its stars must be one.
        let plain = match text.strip_prefix("*.") {
            Some(below) => format!("x.{below}"),
            None => text.to_owned(),
        };
        let (host, path) = match plain.split_once('/') {
            Some((host, path)) if is_domain(host) => (Some(host), path),
            Some((host, _)) if host.contains('*') => {
                return Err(format!(
                    "{host:?} is no registry; write one, such as docker.io/*, or *.firm.example/*"
                ));
            }
            _ => (None, plain.as_str()),
        };
        if host.is_some_and(|host| host.contains('*')) {
            return Err("a registry has a `*` at its beginning only, as in *.firm.example/*".to_owned());
        }
        let filled = match host {
            Some(host) => format!("{host}/{}", path.replace('*', "x")),
            None => path.replace('*', "x"),
        };
        check(&filled).map_err(|why| format!("it {why}"))?;
        let (registry, repository) = split(&plain);
        let registry = if text.starts_with("*.") { registry.replacen('x', "*", 1) } else { registry };
        Ok(Self(Kind::Repository { registry, repository: repository_of(repository, path) }))
    }
}

/// `docker.io/*` is all of it, not its library alone.
fn repository_of(normalised: String, written: &str) -> String {
    if written == "*" { "*".to_owned() } else { normalised }
}

impl ImagePattern {
    fn allows(&self, name: &Reference) -> bool {
        let Kind::Repository { registry, repository } = &self.0 else { return false };
        let is_its_registry = match registry.strip_prefix('*') {
            Some(domain) => name.registry.len() > domain.len() && name.registry.ends_with(domain),
            None => name.registry == *registry,
        };
        is_its_registry && fits(repository, &name.repository)
    }

    fn allows_id(&self, id: &str) -> bool {
        match &self.0 {
            Kind::AnyId => true,
            Kind::Id(known) => known == id,
            Kind::Repository { .. } => false,
        }
    }
}

impl fmt::Display for ImagePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::AnyId => f.write_str("sha256:*"),
            Kind::Id(id) => f.write_str(id),
            Kind::Repository { registry, repository } => write!(f, "{registry}/{repository}"),
        }
    }
}

/// Whether a text fits a pattern in which `*` stands for any signs.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut left) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else { return left.is_empty() };
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

/// The images that are allowed; all where no pattern is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedImages(Vec<ImagePattern>);

impl AllowedImages {
    pub fn new(patterns: Vec<ImagePattern>) -> Self {
        Self(patterns)
    }

    pub fn are_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any image of this id may run, whatever it is called.
    pub fn allow_id(&self, id: &str) -> bool {
        self.are_all() || self.0.iter().any(|pattern| pattern.allows_id(id))
    }

    /// Why an image may not run under this name; nothing if it may.
    pub fn refusal(&self, image: &str) -> Option<String> {
        if self.are_all() || is_id(image) && self.allow_id(image) {
            return None;
        }
        if is_id(image) {
            return Some(format!("the image {image} is named by its id, and only these are allowed: {self}"));
        }
        let name = match Reference::parse(image) {
            Ok(name) => name,
            Err(why) => return Some(format!("{image:?} is not an image: its name {why}")),
        };
        if name.could_be_an_id() {
            return Some(format!(
                "the image {image} could be an image's id as well as a name; write it with its tag, such as {image}:1"
            ));
        }
        let allowed = self.0.iter().any(|pattern| pattern.allows(&name));
        (!allowed)
            .then(|| format!("the image {image} is {}, and only these are allowed: {self}", name.place()))
    }
}

impl fmt::Display for AllowedImages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&patterns.join(", "))
    }
}

/// Which images a cluster runs.
#[derive(Clone, Debug, Default)]
pub struct ImagePolicy {
    /// An image must be named by what it is.
    pub require_digest: bool,
    /// A name must not mean the tag `latest`.
    pub refuse_latest: bool,
    pub allowed: AllowedImages,
}

impl ImagePolicy {
    /// Whether any image may run.
    pub fn allows_all(&self) -> bool {
        !self.require_digest && !self.refuse_latest && self.allowed.are_all()
    }

    /// Why a sweep of this image may not run, and what would be right. `pin` is what it runs, where that is known: an image
    /// that is fixed by it can't move, but it must be allowed too, since it is what runs.
    pub fn refusal(&self, image: &str, pin: Option<&str>) -> Option<String> {
        let is_fixed = is_pin(image) || pin.is_some();
        if self.require_digest && !is_fixed {
            return Some(format!(
                "the image {image} is refused: images are named by their digest here (--require-digest); write {}@sha256:DIGEST, \
                 which `docker image inspect --format '{{{{.RepoDigests}}}}' {image}` shows",
                bare(image)
            ));
        }
        let is_latest =
            || Reference::parse(image).is_ok_and(|name| name.tag.is_none_or(|tag| tag == "latest"));
        if self.refuse_latest && !is_fixed && is_latest() {
            return Some(format!(
                "the image {image} is refused: it means the tag latest, which moves (--refuse-latest); write a version, such as \
                 {0}:1.0, or {0}@sha256:DIGEST",
                bare(image)
            ));
        }
        self.not_allowed(image).or_else(|| self.not_allowed(pin?))
    }

    /// As [`Self::refusal`], of a sweep that is queued already. Where its pin is an id, an agent has found the image on its
    /// machine under the allowed name, where only the machine's owner can have put it.
    pub fn refusal_of_queued(&self, image: &str, pin: Option<&str>) -> Option<String> {
        match pin {
            Some(id) if is_id(id) => self.not_allowed(image),
            pin => self.refusal(image, pin),
        }
    }

    fn not_allowed(&self, image: &str) -> Option<String> {
        self.allowed.refusal(image).map(|why| format!("{why} (--allow-image)"))
    }
}

/// A name without its tag, as it was written.
fn bare(image: &str) -> &str {
    let last = image.rfind('/').map_or(0, |slash| slash + 1);
    image[last..].find(':').map_or(image, |colon| &image[..last + colon])
}

#[cfg(test)]
mod tests;
