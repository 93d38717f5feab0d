//! How stored files are written: as they are, or compressed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bytes of a file's name in a directory.
const LONGEST_NAME: usize = 255;
/// What the names of compressed files end with.
const ZSTD: &str = ".zst";

/// How a stored file is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// As it is.
    #[default]
    None,
    /// As one frame of zstd.
    Zstd,
}

/// A name that leaves no room, and whose own ending stands for another file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} can't be kept beside compressed files: its name ends in .zst and is too long to be given another",
    crate::text::remark(.path)
)]
pub struct NoName {
    pub path: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an encoding of stored files; these are: none, zstd")]
pub struct Unknown(String);

impl Encoding {
    pub const ALL: [Self; 2] = [Self::None, Self::Zstd];

    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Zstd => "zstd",
        }
    }

    /// How a file of an attempt that is stored so is written itself: a name too long for another ending stays as it is.
    pub fn of(self, path: &str) -> Result<Self, NoName> {
        let name = path.rsplit('/').next().unwrap_or(path);
        match self {
            Self::Zstd if name.len() + ZSTD.len() > LONGEST_NAME => match name.ends_with(ZSTD) {
                true => Err(NoName { path: path.to_owned() }),
                false => Ok(Self::None),
            },
            encoding => Ok(encoding),
        }
    }

    /// Where a file that is written so stands. As all files of an attempt are asked to be stored in one way, no two of
    /// them get the same name.
    pub fn stored_as(self, path: &str) -> String {
        match self {
            Self::None => path.to_owned(),
            Self::Zstd => format!("{path}{ZSTD}"),
        }
    }

    /// The file that stands there, if one that is written so can.
    pub fn path_of(self, stored: &str) -> Option<&str> {
        match self {
            Self::None => Some(stored),
            Self::Zstd => stored.strip_suffix(ZSTD),
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Encoding {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        let known = Self::ALL.into_iter().find(|known| known.name() == text);
        known.ok_or_else(|| Unknown(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_files_are_stored_under_one_name() {
        let long = "n".repeat(252);
        let paths = ["x", "x.zst", "x.zst.zst", "d/x", long.as_str()];
        let stored = paths.map(|path| Encoding::Zstd.of(path).unwrap().stored_as(path));
        let names: std::collections::HashSet<_> = stored.iter().collect();
        assert_eq!(names.len(), paths.len());
        assert_eq!(stored[0], "x.zst");
        assert_eq!(Encoding::Zstd.path_of("x.zst"), Some("x"));
        assert_eq!((Encoding::Zstd.path_of("x"), Encoding::None.path_of("x")), (None, Some("x")));
        assert_eq!(stored[4], long, "a name that leaves no room is kept");
        assert!(Encoding::Zstd.of(&format!("d/{}.zst", "n".repeat(250))).is_err());
        assert!(Encoding::Zstd.of(&format!("{}/x", "d".repeat(255))).is_ok());
    }

    #[test]
    fn encodings_are_read_by_name() {
        for encoding in Encoding::ALL {
            assert_eq!(encoding.name().parse(), Ok(encoding));
        }
        assert!("gzip".parse::<Encoding>().unwrap_err().to_string().contains("none, zstd"));
    }
}
