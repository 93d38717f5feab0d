//! The key `platform`: what an image is made for, as `linux/amd64`.

use std::fmt;
use std::str::FromStr;

use super::error::Error;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    pub os: String,
    pub arch: String,
    /// As `v8` in `linux/arm64/v8`.
    pub variant: Option<String>,
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let is_word = |word: &&str| {
            (1..=32).contains(&word.len())
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        let words: Vec<_> = text.split('/').filter(is_word).collect();
        if words.len() != text.split('/').count() {
            return Err(not_a_platform(text));
        }
        let (os, arch, variant) = match words[..] {
            [os, arch] => (os, arch, None),
            [os, arch, variant] => (os, arch, Some(variant.to_owned())),
            _ => return Err(not_a_platform(text)),
        };
        if os != "linux" {
            return Err(Error::new(format!("`platform` has the system {os:?}; containers here are linux")));
        }
        let arch = match arch {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Ok(Self { os: os.to_owned(), arch: arch.to_owned(), variant })
    }
}

fn not_a_platform(text: &str) -> Error {
    let text: String = text.chars().take(80).collect();
    Error::new(format!("`platform` has {text:?}; write linux/amd64 or linux/arm64"))
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.arch)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_names_of_platforms_are_taken_too() {
        let platform = |text: &str| text.parse::<Platform>().unwrap().to_string();
        assert_eq!(platform("linux/x86_64"), "linux/amd64");
        assert_eq!(platform("linux/aarch64/v8"), "linux/arm64/v8");
    }
}
