//! The value of a secret in memory: never printed, and overwritten when it is given up.

use std::fmt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::secret::REDACTED;

/// Bytes of the largest value.
pub const LARGEST_SECRET: usize = 64 << 10;

/// The value of a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    pub fn new(value: Vec<u8>) -> Self {
        Self(Zeroizing::new(value))
    }

    /// What a file holds, or what was piped in. The newline that ends a single line is no part of the value: editors and `echo`
    /// put it there. A text of several lines, such as a key as PEM, stays as it is.
    pub fn of_text(mut value: Vec<u8>) -> Self {
        if value.iter().filter(|byte| **byte == b'\n').count() == 1 && value.ends_with(b"\n") {
            value.pop();
            if value.ends_with(b"\r") {
                value.pop();
            }
        }
        Self::new(value)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Refuses what can be no secret.
    pub fn check(&self) -> Result<(), String> {
        match self.0.len() {
            0 => Err("it is empty".to_owned()),
            size if size > LARGEST_SECRET => {
                Err(format!("it has {size} bytes; {LARGEST_SECRET} are the most that a secret has"))
            }
            _ => Ok(()),
        }
    }
}

/// Refuses a file that holds a secret or a key, by its mode, where everyone on the machine can read or write it.
pub fn check_mode(path: &Path, mode: u32) -> Result<(), String> {
    match mode & 0o007 {
        0 => Ok(()),
        _ => Err(format!(
            "everyone on this machine can use it (mode {:03o}); run `chmod o= {}`",
            mode & 0o777,
            path.display()
        )),
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newline_of_a_single_line_is_no_part_of_it() {
        for (text, value) in [
            ("k", "k"),
            ("k\n", "k"),
            ("k\r\n", "k"),
            ("a\nb\n", "a\nb\n"),
            ("a\nb", "a\nb"),
            ("\n\n", "\n\n"),
        ] {
            assert_eq!(SecretBytes::of_text(text.into()).bytes(), value.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn a_file_is_not_for_everyone() {
        let path = Path::new("/etc/k");
        for mode in [0o600, 0o100_640, 0o660] {
            assert_eq!(check_mode(path, mode), Ok(()));
        }
        for mode in [0o604, 0o100_602, 0o601] {
            let told = check_mode(path, mode).unwrap_err();
            assert!(
                told.contains(&format!("mode {:03o}", mode & 0o777)) && told.contains("chmod o= /etc/k"),
                "{told}"
            );
        }
    }

    #[test]
    fn it_is_not_printed() {
        assert_eq!(format!("{:?}", SecretBytes::new(b"hunter2".to_vec())), "***");
        assert!(SecretBytes::new(Vec::new()).check().is_err());
        assert!(SecretBytes::new(vec![0; LARGEST_SECRET]).check().is_ok());
        assert!(SecretBytes::new(vec![0; LARGEST_SECRET + 1]).check().is_err());
    }
}
