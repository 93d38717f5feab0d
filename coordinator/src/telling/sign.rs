//! The signature of a message: whoever has the secret can tell that the coordinator sent it, and when.

use anyhow::{Context, ensure};
use bt_model::hex::hex;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::options::Telling;

/// The secret itself, where it is in no file.
const VARIABLE: &str = "BTCTL_NOTIFY_SECRET";
/// A shorter one can be guessed.
const SHORTEST: usize = 16;

/// Signs with the operator's secret.
#[derive(Clone)]
pub(super) struct Signer(Hmac<Sha256>);

impl Signer {
    /// None if there is no secret.
    pub(super) fn read(telling: &Telling) -> anyhow::Result<Option<Self>> {
        let (secret, from) = match &telling.notify_secret_file {
            Some(path) => {
                let from = format!("--notify-secret-file {}", path.display());
                (std::fs::read_to_string(path).with_context(|| from.clone())?, from)
            }
            None => match std::env::var(VARIABLE) {
                Ok(secret) => (secret, VARIABLE.to_owned()),
                Err(_) => return Ok(None),
            },
        };
        let secret = secret.trim();
        ensure!(
            secret.len() >= SHORTEST,
            "{from}: the secret has {} characters; {SHORTEST} are the least",
            secret.len()
        );
        Ok(Some(Self::new(secret.as_bytes())?))
    }

    fn new(secret: &[u8]) -> anyhow::Result<Self> {
        Ok(Self(Hmac::new_from_slice(secret)?))
    }

    /// `v1=` and the HMAC-SHA256 of `TIMESTAMP.BODY`, in hexadecimal digits.
    pub(super) fn sign(&self, timestamp: &str, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(timestamp.as_bytes());
        mac.update(b".");
        mac.update(body);
        format!("v1={}", hex(&mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_documented_one() {
        // printf '1767323045.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef
        let signed = Signer::new(b"0123456789abcdef").unwrap().sign("1767323045", br#"{"a":1}"#);
        assert_eq!(signed, "v1=4c32cf781f3565724c268f18d7bc9ba04dd466529b0127d152f7e9f20a8ea5e0");
    }
}
