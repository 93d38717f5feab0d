//! Certificates of agents: an agent makes a key that never leaves it, asks for a certificate, and shows it on each connection.
//! Nothing in a request counts but the key that it was signed with: the authority says whose the certificate is.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::authority::{Authority, SKEW, named};
use crate::files::{key_text, write_private};
use crate::{Error, files};

/// How a certificate names its agent, before the agent's id; the form is that of SPIFFE ids.
const AGENT: &str = "spiffe://btctl/agent/";
/// Bytes of a request.
const LARGEST_REQUEST: usize = 10_000;

/// The SHA-256 of a public key, as a certificate has it (SubjectPublicKeyInfo).
pub type KeyHash = [u8; 32];

/// A certificate that was signed for an agent.
#[derive(Clone, Debug)]
pub struct SignedAgent {
    /// As PEM.
    pub certificate: String,
    pub key: KeyHash,
    pub expires: SystemTime,
}

/// Whose certificate was shown on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShownAgent {
    pub agent: Uuid,
    pub key: KeyHash,
}

/// What an agent says who it is with: its key, and its certificate as soon as it has one.
#[derive(Debug)]
pub struct AgentKey {
    key: KeyPair,
}

/// A certificate with its key, as a caller shows them. Cheap to clone.
#[derive(Clone)]
pub struct OwnCertificate(Arc<Own>);

struct Own {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    agent: Uuid,
    valid: (SystemTime, SystemTime),
}

impl std::fmt::Debug for OwnCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OwnCertificate(of agent {})", self.0.agent)
    }
}

impl Authority {
    /// Signs a certificate for the key that a request (PKCS #10, DER) was made with.
    pub fn certify_agent(&self, request: &[u8], agent: Uuid, holds: Duration) -> Result<SignedAgent, Error> {
        if request.len() > LARGEST_REQUEST {
            return Err(Error::Invalid(format!("a request for a certificate has {} bytes", request.len())));
        }
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request));
        let request = request.map_err(|error| {
            Error::Invalid(format!("what was sent is no request for a certificate: {error}"))
        })?;
        let mut params = CertificateParams::default();
        let expires = SystemTime::now() + holds;
        params.not_before = OffsetDateTime::now_utc() - SKEW;
        params.not_after = OffsetDateTime::from(expires);
        params.distinguished_name = named("btctl agent");
        params.subject_alt_names = vec![SanType::URI(format!("{AGENT}{agent}").try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(SerialNumber::from_slice(Uuid::new_v4().as_bytes()));
        let certificate = params.signed_by(&request.public_key, self.issuer())?;
        let shown = shown(certificate.der())
            .ok_or_else(|| Error::Invalid("the certificate that was made can't be read".to_owned()))?;
        Ok(SignedAgent { certificate: certificate.pem(), key: shown.key, expires })
    }
}

/// Whose a certificate is, if it is an agent's.
pub(crate) fn shown(certificate: &CertificateDer<'_>) -> Option<ShownAgent> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok().flatten()?;
    let mut agents = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix(AGENT)?.parse().ok(),
        _ => None,
    });
    let agent = agents.next()?;
    Some(ShownAgent { agent, key: Sha256::digest(parsed.public_key().raw).into() })
}

impl AgentKey {
    /// Reads the key, or makes one where there is none.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if !path.exists() {
            write_private(path, &KeyPair::generate()?.serialize_pem())?;
        }
        let key = KeyPair::from_pem(&key_text(path)?);
        let key = key.map_err(|error| Error::Unreadable { path: path.to_owned(), why: error.to_string() })?;
        Ok(Self { key })
    }

    /// A request for a certificate, as DER. It names nobody: who asks is known by other means.
    pub fn request(&self) -> Result<Vec<u8>, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        Ok(params.serialize_request(&self.key)?.der().to_vec())
    }

    /// The certificate of a file, as [`keep`](Self::keep) wrote it; nothing where there is none.
    pub fn certificate(&self, path: &Path) -> Result<Option<OwnCertificate>, Error> {
        match fs::read(path) {
            Ok(pem) => {
                self.own(&pem).map(Some).map_err(|why| Error::Unreadable { path: path.to_owned(), why })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::File { path: path.to_owned(), error }),
        }
    }

    /// Writes a certificate that was signed for this key, and gives it to be shown.
    pub fn keep(&self, path: &Path, pem: &str) -> Result<OwnCertificate, Error> {
        let own = self.own(pem.as_bytes()).map_err(Error::Invalid)?;
        files::write_public(path, pem)?;
        Ok(own)
    }

    fn own(&self, pem: &[u8]) -> Result<OwnCertificate, String> {
        let certificate = CertificateDer::from_pem_slice(pem)
            .map_err(|error| format!("it is not a certificate as PEM: {error}"))?;
        let shown = shown(&certificate).ok_or("it is not the certificate of an agent")?;
        let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|error| error.to_string())?;
        if parsed.public_key().raw != self.key.subject_public_key_info() {
            return Err("the certificate is for another key".to_owned());
        }
        let at = |seconds: i64| {
            SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
        };
        let validity = parsed.validity();
        let valid = (at(validity.not_before.timestamp()), at(validity.not_after.timestamp()));
        let key = PrivateKeyDer::try_from(self.key.serialize_der())?;
        Ok(OwnCertificate(Arc::new(Own { certificate: certificate.clone(), key, agent: shown.agent, valid })))
    }
}

impl OwnCertificate {
    pub fn agent(&self) -> Uuid {
        self.0.agent
    }

    pub fn expires(&self) -> SystemTime {
        self.0.valid.1
    }

    /// Whether it may be shown at this time.
    pub fn is_valid_at(&self, now: SystemTime) -> bool {
        (self.0.valid.0..self.0.valid.1).contains(&now)
    }

    /// When it is to be renewed: after two thirds of the time that it was signed for.
    pub fn renew_at(&self) -> SystemTime {
        let (begins, ends) = (self.0.valid.0 + SKEW.unsigned_abs(), self.0.valid.1);
        let holds = ends.duration_since(begins).unwrap_or_default();
        begins + holds * 2 / 3
    }

    pub(crate) fn chain(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (vec![self.0.certificate.clone()], self.0.key.clone_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_certificate_is_for_the_agent_that_the_authority_means() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::make(dir.path()).unwrap();
        let (path, file) = (dir.path().join("agent.key"), dir.path().join("agent.pem"));
        let key = AgentKey::open(&path).unwrap();
        assert!(key.certificate(&file).unwrap().is_none());
        let agent = Uuid::from_u128(7);
        let signed = authority.certify_agent(&key.request().unwrap(), agent, 7 * DAY).unwrap();
        let own = key.keep(&file, &signed.certificate).unwrap();
        assert_eq!(own.agent(), agent);
        let now = SystemTime::now();
        assert!(own.is_valid_at(now) && !own.is_valid_at(now + 8 * DAY) && !own.is_valid_at(now - DAY));
        assert!(own.renew_at() > now + 4 * DAY && own.renew_at() < now + 5 * DAY, "{:?}", own.renew_at());
        let (chain, _) = own.chain();
        assert_eq!(shown(&chain[0]), Some(ShownAgent { agent, key: signed.key }));

        // The key and the certificate are found again; another key has no use for the certificate.
        let again = AgentKey::open(&path).unwrap();
        assert_eq!(again.certificate(&file).unwrap().unwrap().agent(), agent);
        let other = AgentKey::open(&dir.path().join("other.key")).unwrap();
        let error = other.certificate(&file).unwrap_err().to_string();
        assert!(error.contains("agent.pem") && error.contains("another key"), "{error}");
        let by_other = authority.certify_agent(&other.request().unwrap(), agent, DAY).unwrap();
        assert_ne!(by_other.key, signed.key);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::make(dir.path()).unwrap();
        let key = AgentKey::open(&dir.path().join("agent.key")).unwrap();
        let good = key.request().unwrap();
        let mut forged = good.clone();
        *forged.last_mut().unwrap() ^= 1;
        for wrong in [&b""[..], b"x", &good[..good.len() - 1], &[0x30; 20_000], &forged] {
            assert!(authority.certify_agent(wrong, Uuid::nil(), DAY).is_err(), "{} bytes", wrong.len());
        }
        authority.certify_agent(&good, Uuid::nil(), DAY).unwrap();
    }

    #[test]
    fn a_server_is_no_agent() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::make(dir.path()).unwrap();
        crate::renew_server(dir.path(), &authority, &["localhost".to_owned()]).unwrap();
        let chain = files::certificates(&dir.path().join(files::SERVER_CERTIFICATE)).unwrap();
        assert!(chain.iter().all(|certificate| shown(certificate).is_none()));
    }
}
