//! What says who somebody is: requests for certificates, and pins.

use std::sync::LazyLock;
use std::time::Duration;

use bt_trust::{Authority, Pin};
use uuid::Uuid;

use crate::refusal::read;

/// One for all checks.
static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("there is room for a key");
    Authority::make(dir.path()).expect("a key can be made")
});

/// A request is signed for the agent that the coordinator names, whatever else it says, or is refused.
pub(crate) fn certificate_request(input: &[u8]) {
    let signed = AUTHORITY.certify_agent(input, Uuid::from_u128(7), Duration::from_secs(3600));
    if let Some(signed) = read(signed) {
        assert!(signed.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
    }
}

pub(crate) fn pin(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Some(pin) = read(text.parse::<Pin>()) {
        let written = pin.to_string();
        assert_eq!(written.parse(), Ok(pin), "{text:?}");
        assert_eq!(written.len(), "sha256:".len() + 64);
    }
}
