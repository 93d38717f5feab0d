//! Who may read and write what a server writes, the results in a store that is a directory above all.

use std::fmt;
use std::str::FromStr;

use rustix::fs::Mode;

/// Rights that a server's files never have or always have.
const OTHERS_WRITE: u32 = 0o002;
const OWNERS: u32 = 0o700;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct FileModes {
    /// Umask of this process: it takes rights from the files that are written into a directory store. 0002 lets the group write
    /// them, 0027 lets only the group read them. Others never get to write. The umask stays as it is if not given.
    #[arg(long, env = "BTCTL_UMASK", value_name = "OCTAL")]
    umask: Option<Umask>,
}

impl FileModes {
    /// From here on.
    pub(super) fn apply(&self) {
        if let Some(Umask(bits)) = self.umask {
            rustix::process::umask(Mode::from_raw_mode(bits));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Umask(u32);

impl FromStr for Umask {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits =
            (3..=4).contains(&text.len()) && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        let bits = u32::from_str_radix(text, 8).ok().filter(|bits| digits && *bits <= 0o777);
        let bits = bits.ok_or_else(|| format!("{text:?} is no umask: write 0022, 0002 or 0027"))?;
        if bits & OTHERS_WRITE == 0 {
            return Err(format!("{text} would let everybody write it; 0002 lets the group"));
        }
        if bits & OWNERS != 0 {
            return Err(format!("{text} takes rights from the owner, who needs them; it begins with 00"));
        }
        Ok(Self(bits))
    }
}

impl fmt::Debug for Umask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_may_get_rights_and_others_none_to_write() {
        for (text, bits) in [("0022", 0o022), ("002", 0o002), ("0007", 0o007), ("0077", 0o077)] {
            assert_eq!(text.parse(), Ok(Umask(bits)));
        }
        for (text, words) in [
            ("0000", "everybody"),
            ("0020", "everybody"),
            ("0722", "owner"),
            ("22", "0002"),
            ("0o22", "0002"),
            ("00022", "0002"),
            ("0088", "0002"),
            ("+022", "0002"),
            ("", "0002"),
        ] {
            let told = text.parse::<Umask>().unwrap_err();
            assert!(told.contains(words), "{text}: {told}");
        }
    }
}
