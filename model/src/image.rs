//! Names of images: `registry:5000/team/backtest:1.2`, `backtest@sha256:...`.

use crate::text::remark;

/// Bytes of a name without tag and digest, as Docker bounds it.
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// Checks a name by the [grammar](https://pkg.go.dev/github.com/distribution/reference) that engines and registries
/// share, since a name becomes part of their URLs. The error says what is wrong and what would be right.
pub fn check(image: &str) -> Result<(), String> {
    check_whole(image).map_err(|why| remark(&why).into_owned())
}

fn check_whole(image: &str) -> Result<(), String> {
    if let Some((scheme, rest)) = image.split_once("://") {
        return Err(format!("has no scheme; write {rest:?} without {scheme}://"));
    }
    // Without its digits, it would get a tag and be a wrong digest then.
    if image == "sha256" || image.starts_with("sha256:") {
        return check_digest(image);
    }
    if let Some(c) = image.chars().find(|c| !c.is_ascii_graphic()) {
        return Err(match c {
            ' ' => "has no spaces".to_owned(),
            c => format!("has no character {c:?}"),
        });
    }
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    if let Some(digest) = digest {
        check_digest(digest)?;
    }
    let (path, tag) = match last(name).split_once(':') {
        Some((_, tag)) => (&name[..name.len() - tag.len() - 1], Some(tag)),
        None => (name, None),
    };
    if let Some(tag) = tag {
        let starts = tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let goes_on = tag.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
        if !starts || !goes_on || tag.len() > MAX_TAG {
            return Err(format!(
                "has the tag {tag:?}; a tag has letters, digits and `_.-`, a letter, a digit or `_` first, {MAX_TAG} at most"
            ));
        }
    }
    check_path(path)
}

/// The registry, if the first part is one, and the parts of the path.
fn check_path(path: &str) -> Result<(), String> {
    if path.is_empty() || path.len() > MAX_NAME {
        return Err(format!("has a name of {} bytes; 1 to {MAX_NAME} are right", path.len()));
    }
    let mut parts: Vec<&str> = path.split('/').collect();
    if parts.len() > 1 && is_domain(parts[0]) {
        check_domain(parts.remove(0))?;
    }
    for part in parts {
        if part.is_empty() {
            return Err("has two slashes in a row, or one at an end".to_owned());
        }
        if [".", ".."].contains(&part) {
            return Err(format!("has the part {part:?}; write the name itself"));
        }
        if part.chars().any(|c| c.is_ascii_uppercase()) {
            return Err(format!(
                "has capitals in {part:?}; only a registry or a tag has them: write {:?}",
                part.to_lowercase()
            ));
        }
        if !is_component(part) {
            return Err(format!(
                "has the part {part:?}; a part has small letters and digits, and between them `.`, `_`, `__` or dashes"
            ));
        }
    }
    Ok(())
}

/// As Docker decides it: what has a dot, a port or capitals, and localhost.
pub(crate) fn is_domain(first: &str) -> bool {
    first.contains(['.', ':']) && first.chars().any(|c| c.is_ascii_alphanumeric())
        || first == "localhost"
        || first.chars().any(|c| c.is_ascii_uppercase())
}

fn check_domain(domain: &str) -> Result<(), String> {
    let (host, port) = match domain.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, rest)) => (address, Some(rest.strip_prefix(':').unwrap_or("none"))),
        None => match domain.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (domain, None),
        },
    };
    let is_address = domain.starts_with('[') && host.chars().all(|c| c.is_ascii_hexdigit() || c == ':');
    let is_label = |label: &str| {
        let ends = [label.chars().next(), label.chars().next_back()];
        ends.iter().all(|end| end.is_some_and(|c| c.is_ascii_alphanumeric()))
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    if !is_address && !host.split('.').all(is_label) {
        return Err(format!("has the registry {domain:?}, which is not a host"));
    }
    match port {
        Some(port) if port.parse::<u16>().is_err() => {
            Err(format!("has the registry {domain:?}; {port:?} is not a port"))
        }
        _ => Ok(()),
    }
}

/// `[a-z0-9]+` with `.`, `_`, `__` or any number of dashes between.
fn is_component(part: &str) -> bool {
    let is_sign = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = part.split(is_sign).filter(|separator| !separator.is_empty());
    part.starts_with(is_sign)
        && part.ends_with(is_sign)
        && separators
            .into_iter()
            .all(|separator| [".", "_", "__"].contains(&separator) || separator.chars().all(|c| c == '-'))
}

fn check_digest(digest: &str) -> Result<(), String> {
    let Some(digits) = digest.strip_prefix("sha256:") else {
        return Err(format!("has the digest {digest:?}; write sha256: and 64 digits"));
    };
    match is_hex(digits) {
        true => Ok(()),
        false => Err(format!("has a digest of {} signs; sha256 has 64 of 0-9 and a-f", digits.len())),
    }
}

/// An image's id: `sha256:` and 64 digits.
pub fn is_id(image: &str) -> bool {
    image.strip_prefix("sha256:").is_some_and(is_hex)
}

/// True where the text stands for one image for good: its id, or its name with a digest.
pub fn is_pin(image: &str) -> bool {
    is_id(image) || (image.contains('@') && check(image).is_ok())
}

fn is_hex(digits: &str) -> bool {
    digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// What is behind the last slash. A colon before it belongs to a registry's port.
fn last(image: &str) -> &str {
    image.rsplit('/').next().unwrap_or(image)
}

/// True where the name says which of its images is meant, by a tag or a digest.
pub fn has_tag(image: &str) -> bool {
    last(image).contains(':')
}

/// The name as engines write it: without a tag it means the tag `latest`.
pub fn tagged(image: &str) -> String {
    if has_tag(image) { image.to_owned() } else { format!("{image}:latest") }
}

/// True where the name stands for one image for good: a digest, an id, or a tag that says a version.
pub fn is_fixed(image: &str) -> bool {
    let last = last(image);
    image.starts_with("sha256:") || last.contains('@') || has_tag(image) && !last.ends_with(":latest")
}

/// The name alone, without registry, tag and digest.
pub fn short_name(image: &str) -> &str {
    let path = image.split('@').next().unwrap_or(image);
    let last = last(path);
    last.split(':').next().unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_grammar() {
        let hex = "0123456789abcdef".repeat(4);
        for image in [
            "bt",
            "bt:1",
            "team/bt:1.2-rc_3",
            "localhost/bt",
            "localhost:5000/bt:1",
            "ghcr.io/my-org/bt",
            "Reg.Example/bt",
            "reg:5000/a/b__c/d---e.f:Tag_1",
            "[::1]:5000/bt:1",
            "10.0.0.1:5000/bt",
            "a1b2c3d4",
            "bt:_1",
            &format!("sha256:{hex}"),
            &format!("bt@sha256:{hex}"),
            &format!("reg:5000/bt:1@sha256:{hex}"),
        ] {
            assert_eq!(check(image), Ok(()), "{image}");
        }
        for (image, part) in [
            ("", "1 to 255"),
            ("docker://bt:1", "write \"bt:1\" without docker://"),
            ("https://reg/bt:1", "without https://"),
            ("ghcr.io/MyOrg/bt:1", "write \"myorg\""),
            ("MyBt", "write \"mybt\""),
            ("a/../bt:1", "has the part \"..\""),
            ("../bt", "has the part \"..\""),
            ("a/./bt", "has the part \".\""),
            ("bt/", "slash"),
            ("/bt", "slash"),
            ("a//bt", "slash"),
            ("bt:", "the tag \"\""),
            ("bt:1:2", "the tag"),
            ("bt:-1", "the tag"),
            ("bt: 1", "no spaces"),
            ("bt\n", "no character"),
            ("b\u{e4}r", "no character"),
            ("bt?x=1", "the part \"bt?x=1\""),
            ("bt#1", "the part"),
            ("b%2ft", "the part"),
            ("-bt", "the part"),
            ("b___t", "the part"),
            ("b..t", "the part"),
            ("reg:port/bt", "is not a port"),
            ("reg:99999/bt", "is not a port"),
            ("re_g.io/bt", "is not a host"),
            ("sha256:0123", "a digest of 4 signs"),
            ("bt@sha256:0123", "a digest of 4 signs"),
            ("bt@sha256:", "a digest of 0 signs"),
            ("bt@md5:0123", "write sha256:"),
            (&format!("bt@sha256:{}", hex.to_uppercase()), "0-9 and a-f"),
            (&format!("bt:{}", "x".repeat(129)), "128 at most"),
            (&"x".repeat(256), "256 bytes"),
        ] {
            let error = check(image).expect_err(image);
            assert!(error.contains(part), "{image}: {error}");
        }
    }

    #[test]
    fn names_say_what_they_mean() {
        for (image, tagged_name, fixed, short) in [
            ("bt", "bt:latest", false, "bt"),
            ("bt:latest", "bt:latest", false, "bt"),
            ("bt:1", "bt:1", true, "bt"),
            ("reg:5000/team/bt", "reg:5000/team/bt:latest", false, "bt"),
            ("reg:5000/team/bt:1", "reg:5000/team/bt:1", true, "bt"),
            ("bt@sha256:0123", "bt@sha256:0123", true, "bt"),
            ("sha256:0123", "sha256:0123", true, "sha256"),
        ] {
            assert_eq!(tagged(image), tagged_name);
            assert_eq!((is_fixed(image), short_name(image)), (fixed, short), "{image}");
        }
    }
}
