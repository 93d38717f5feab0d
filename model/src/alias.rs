//! Aliases of images: `alias://prod/strategy` in a manifest means the image that the alias stands for when the sweep is
//! submitted. No image's name has `://`, so an alias can't be taken for one.

use crate::image;
use crate::text::remark;

/// What an alias begins with in a manifest.
pub const SCHEME: &str = "alias://";
/// Bytes of an alias's name at most.
const LONGEST: usize = 128;
/// Hexadecimal digits that a digest is found by at least.
const LEAST_DIGITS: usize = 6;

/// The alias's name, where an image is named by one.
pub fn name_of(image: &str) -> Option<&str> {
    image.strip_prefix(SCHEME)
}

/// Checks what a manifest names as its image: an image, or an alias. The error continues the words "its name".
pub fn check_image(image: &str) -> Result<(), String> {
    match name_of(image) {
        Some(name) => check_name(name).map_err(|why| format!("is to be an alias, and {why}")),
        None => image::check(image).map_err(|why| match image.strip_prefix("alias:") {
            Some(name) if check_name(name).is_ok() => {
                format!("{why}; for the alias {name} write {SCHEME}{name}")
            }
            _ => why,
        }),
    }
}

/// Checks the name of an alias: as the path of an image. The error is a sentence.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_part = |part: &str| {
        let ends = [part.chars().next(), part.chars().next_back()];
        let is_sign = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        ends.into_iter().all(|end| end.is_some_and(is_sign))
            && part.chars().all(|c| is_sign(c) || "._-".contains(c))
            && !part.contains("..")
    };
    match name.len() <= LONGEST && name.split('/').all(is_part) {
        true => Ok(()),
        false => {
            let short: String = name.chars().take(80).collect();
            Err(remark(&format!(
                "{short:?} can't be an alias: it has parts of small letters, digits and between them `.`, `_` or `-`, separated by \
                 slashes, {LONGEST} bytes at most, such as prod/strategy"
            ))
            .into_owned())
        }
    }
}

/// How an alias came to stand for another image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Promote,
    Rollback,
}

impl ChangeKind {
    pub const ALL: [Self; 2] = [Self::Promote, Self::Rollback];

    pub fn name(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Rollback => "rollback",
        }
    }
}

/// What an alias stood for since one of its changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past<'p> {
    pub number: u32,
    /// The promotion whose image it is: its own number, unless it went back to an earlier one.
    pub promotion: u32,
    pub pin: &'p str,
}

/// Where an alias is to go back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The latest image before this one that nobody went back from.
    LastGood,
    Number(u32),
    /// The first digits of a digest.
    Digest(String),
}

impl Target {
    /// Reads `--to`: the number of a change, or a digest.
    pub fn of(text: &str) -> Result<Self, String> {
        let digits = match text.rsplit_once("sha256:") {
            Some((_, digits)) => digits,
            None => match text.parse() {
                Ok(number) => return Ok(Self::Number(number)),
                Err(_) => text,
            },
        };
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match (LEAST_DIGITS..=64).contains(&digits.len()) && digits.bytes().all(is_digit) {
            true => Ok(Self::Digest(digits.to_owned())),
            false => {
                let short: String = text.chars().take(80).collect();
                Err(format!(
                    "{short:?} is neither the number of a change nor a digest, of which {LEAST_DIGITS} of the digits 0-9 and a-f \
                     suffice"
                ))
            }
        }
    }
}

/// The digest of a pin: what follows the last `@`, or all of it.
pub fn digest(pin: &str) -> &str {
    pin.rsplit('@').next().unwrap_or(pin)
}

/// Finds what an alias is to go back to among its changes, which are sorted by number; the last of them holds. The error is a
/// sentence about the alias.
pub fn back_to(changes: &[Past<'_>], target: &Target) -> Result<u32, String> {
    let Some(current) = changes.last() else { return Err("it has never stood for an image".to_owned()) };
    let found = match target {
        Target::LastGood => {
            let was_left = |promotion: u32| {
                let last = changes.iter().rposition(|past| past.promotion == promotion);
                let next = last.and_then(|last| changes.get(last + 1));
                next.is_some_and(|next| next.promotion < promotion)
            };
            let before = changes.iter().rev().filter(|past| {
                past.number == past.promotion
                    && past.promotion < current.promotion
                    && !was_left(past.promotion)
                    && digest(past.pin) != digest(current.pin)
            });
            before.map(|past| past.promotion).next().ok_or_else(|| {
                "it has no earlier image that it was not taken back from; `--to` chooses any of its history".to_owned()
            })?
        }
        Target::Number(number) => {
            let past = changes.iter().find(|past| past.number == *number);
            past.ok_or_else(|| format!("it has no change {number}"))?.promotion
        }
        Target::Digest(digits) => {
            let fits = |past: &&Past<'_>| {
                digest(past.pin).strip_prefix("sha256:").is_some_and(|whole| whole.starts_with(digits))
            };
            let latest =
                changes.iter().rev().find(fits).ok_or_else(|| format!("it never stood for {digits}"))?;
            if let Some(other) =
                changes.iter().filter(fits).find(|past| digest(past.pin) != digest(latest.pin))
            {
                return Err(format!(
                    "it has stood for two images whose digests begin with {digits}: {} and {}",
                    digest(other.pin),
                    digest(latest.pin)
                ));
            }
            latest.promotion
        }
    };
    match found == current.promotion {
        true => Err(format!("it stands for that image already ({})", digest(current.pin))),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_no_image_and_an_image_no_alias() {
        for image in ["alias://prod", "alias://prod/strategy", "alias://a.b/c_d/e-f"] {
            assert_eq!(check_image(image), Ok(()), "{image}");
            assert!(image::check(image).is_err(), "{image}");
            assert!(name_of(image).is_some());
        }
        for image in ["alias:1", "alias/prod:1", "alias:5000/prod"] {
            assert_eq!((check_image(image), name_of(image)), (Ok(()), None), "{image}");
        }
        for image in ["alias://", "alias://Prod", "alias://a//b", "alias:///a", "alias://a:1", "alias://../a"]
        {
            assert!(check_image(image).unwrap_err().contains("such as prod/strategy"), "{image}");
        }
        let hint = check_image("alias:prod/strategy").unwrap_err();
        assert!(hint.ends_with("write alias://prod/strategy"), "{hint}");
        assert!(check_name(&"a".repeat(129)).is_err());
    }

    const A: &str = "reg/s@sha256:aaaaaa11";
    const B: &str = "reg/s@sha256:bbbbbb11";
    const C: &str = "reg/s@sha256:cccccc11";

    fn past(changes: &[(u32, &'static str)]) -> Vec<Past<'static>> {
        let numbered = changes.iter().zip(1..);
        numbered.map(|((promotion, pin), number)| Past { number, promotion: *promotion, pin }).collect()
    }

    #[test]
    fn it_goes_back_to_what_nobody_went_back_from() {
        let back = |changes: &[(u32, &'static str)]| back_to(&past(changes), &Target::LastGood);
        assert_eq!(back(&[(1, A), (2, B)]), Ok(1));
        // The same again goes further back, not to and fro.
        assert_eq!(back(&[(1, A), (2, B), (3, C), (2, B)]), Ok(1));
        // C follows A: B was taken back.
        assert_eq!(back(&[(1, A), (2, B), (1, A), (4, C)]), Ok(1));
        // B was promoted again, and held.
        assert_eq!(back(&[(1, A), (2, B), (1, A), (4, B), (5, C)]), Ok(4));
        // The same image under another name is no way back.
        assert_eq!(back(&[(1, A), (2, B), (3, "reg/t@sha256:bbbbbb11")]), Ok(1));
        // Forward again by hand: B is good.
        assert_eq!(back(&[(1, A), (2, B), (1, A), (2, B)]), Ok(1));
        assert_eq!(back(&[(1, A), (2, B), (1, A), (2, B), (5, C)]), Ok(2));
        for none in [&[(1, A)][..], &[(1, A), (2, B), (1, A)], &[]] {
            assert!(back(none).is_err(), "{none:?}");
        }
    }

    #[test]
    fn it_goes_where_it_is_told() {
        let changes = past(&[(1, A), (2, B), (1, A), (4, "reg/s@sha256:bbbbbb22"), (5, C)]);
        let to = |text: &str| back_to(&changes, &Target::of(text).unwrap());
        assert_eq!((to("2"), to("3")), (Ok(2), Ok(1)));
        assert_eq!((to("aaaaaa"), to("sha256:aaaaaa11"), to(A)), (Ok(1), Ok(1), Ok(1)));
        for (text, words) in [
            ("9", "no change 9"),
            ("bbbbbb", "two images"),
            ("dddddd", "never stood"),
            ("5", "already"),
            ("cccccc", "already"),
        ] {
            assert!(to(text).unwrap_err().contains(words), "{text}: {:?}", to(text));
        }
        for wrong in ["", "-1", "aaaaa", "xyzxyz", "sha256:AAAAAA", "99999999999"] {
            let read = Target::of(wrong);
            assert!(read.is_err() || read == Ok(Target::Digest(wrong.to_owned())), "{wrong}: {read:?}");
        }
    }
}
