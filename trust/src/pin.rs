//! Pins: a certificate named by the SHA-256 of its DER.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};

const PREFIX: &str = "sha256:";

/// `sha256:` and 64 hexadecimal digits, as `openssl x509 -noout -fingerprint -sha256` prints them but for the colons, which
/// may stand there too.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pin([u8; 32]);

impl Pin {
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate.as_ref()).into())
    }
}

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            let short: String = text.chars().take(80).collect();
            format!(
                "{short:?} is no pin of a certificate; it is sha256: and 64 hexadecimal digits, as `btctl coordinator init` prints it"
            )
        };
        let digits: Vec<u8> =
            text.strip_prefix(PREFIX).ok_or_else(wrong)?.bytes().filter(|b| *b != b':').collect();
        let mut pin = [0; 32];
        if digits.len() != 64 {
            return Err(wrong());
        }
        for (byte, pair) in pin.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16).ok_or_else(wrong);
            *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
        }
        Ok(Self(pin))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_as_it_is_written_and_as_openssl_writes_it() {
        let pin = Pin::of(&CertificateDer::from(b"abc".to_vec()));
        let written = pin.to_string();
        assert_eq!(written, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(written.parse(), Ok(pin));
        let digits = &written[PREFIX.len()..];
        let pairs: Vec<_> = (0..32).map(|at| digits[2 * at..2 * at + 2].to_uppercase()).collect();
        assert_eq!(format!("sha256:{}", pairs.join(":")).parse(), Ok(pin));
        for wrong in
            ["", digits, "sha256:", "sha256:ba78", &format!("{written}00"), &written.replace('b', "x")]
        {
            assert!(wrong.parse::<Pin>().unwrap_err().contains("64 hexadecimal digits"), "{wrong}");
        }
    }
}
