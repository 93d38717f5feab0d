//! The cluster's certificate authority, and what it signs.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

use crate::files::{
    self, AUTHORITY_CERTIFICATE, AUTHORITY_KEY, SERVER_CERTIFICATE, SERVER_KEY, write_private, write_public,
};
use crate::{Error, Pin};

/// How long certificates are valid.
const AUTHORITY_DAYS: i64 = 3650;
const SERVER_DAYS: i64 = 365;
/// How far clocks of machines may be apart.
pub(crate) const SKEW: Duration = Duration::hours(1);
/// Names in one certificate.
const MOST_NAMES: usize = 100;

/// The one that signs. Holds its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

/// A coordinator's certificate with its chain, and its key, both as PEM.
pub(crate) struct ServerCertificate {
    chain: String,
    key: String,
}

impl Authority {
    /// The one in this directory, or a new one where there is none; and whether it is new. Half of one is neither.
    pub fn open_or_make(dir: &Path) -> Result<(Self, bool), Error> {
        let (there, missing) =
            match (dir.join(AUTHORITY_CERTIFICATE).exists(), dir.join(AUTHORITY_KEY).exists()) {
                (false, false) => return Ok((Self::make(dir)?, true)),
                (true, true) => return Ok((Self::open(dir)?, false)),
                (true, false) => (AUTHORITY_CERTIFICATE, AUTHORITY_KEY),
                (false, true) => (AUTHORITY_KEY, AUTHORITY_CERTIFICATE),
            };
        Err(Error::Invalid(format!(
            "{} holds {there} without {missing}; copy both from where the authority was made, or take another directory for a \
             new one",
            dir.display()
        )))
    }

    /// Makes a new one. Its key is written first, so that there is never a certificate without one.
    pub fn make(dir: &Path) -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let mut params = lasting(CertificateParams::default(), AUTHORITY_DAYS);
        params.distinguished_name = named("btctl cluster");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        write_private(&dir.join(AUTHORITY_KEY), &key.serialize_pem())?;
        write_public(&dir.join(AUTHORITY_CERTIFICATE), &certificate.pem())?;
        Self::of(certificate.der().clone(), certificate.pem(), key)
    }

    /// Reads the one that [`make`](Self::make) wrote.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let (path, key_path) = (dir.join(AUTHORITY_CERTIFICATE), dir.join(AUTHORITY_KEY));
        let certificate = files::certificates(&path)?.swap_remove(0);
        let pem = fs::read_to_string(&path).map_err(|error| Error::File { path, error })?;
        let key = KeyPair::from_pem(&files::key_text(&key_path)?)
            .map_err(|error| Error::Unreadable { path: key_path, why: error.to_string() })?;
        Self::of(certificate, pem, key)
    }

    fn of(certificate: CertificateDer<'static>, pem: String, key: KeyPair) -> Result<Self, Error> {
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self { issuer, certificate, pem })
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    pub fn pin(&self) -> Pin {
        Pin::of(&self.certificate)
    }

    /// A certificate for a coordinator that is reached by these names and addresses.
    pub(crate) fn certify_server(&self, names: &[String]) -> Result<ServerCertificate, Error> {
        if names.is_empty() || names.len() > MOST_NAMES {
            return Err(Error::Invalid(format!(
                "{} names; a certificate has 1 to {MOST_NAMES}",
                names.len()
            )));
        }
        let mut params = lasting(CertificateParams::default(), SERVER_DAYS);
        params.distinguished_name = named("btctl coordinator");
        params.subject_alt_names = names.iter().map(|name| alternative(name)).collect::<Result<_, _>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(ServerCertificate { chain: certificate.pem() + &self.pem, key: key.serialize_pem() })
    }
}

/// Makes a coordinator's key and certificate, and writes both into a directory. The key first: a certificate without its key
/// is of no use, and whoever reads both in between keeps what it had.
pub fn renew_server(dir: &Path, authority: &Authority, names: &[String]) -> Result<(), Error> {
    let server = authority.certify_server(names)?;
    write_private(&dir.join(SERVER_KEY), &server.key)?;
    write_public(&dir.join(SERVER_CERTIFICATE), &server.chain)
}

fn lasting(mut params: CertificateParams, days: i64) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - SKEW;
    params.not_after = now + Duration::days(days);
    params
}

pub(crate) fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn alternative(name: &str) -> Result<SanType, Error> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let is_host = !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|part| {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '*';
            !part.is_empty() && part.len() <= 63 && part.chars().all(fits)
        });
    if !is_host {
        return Err(Error::Invalid(format!(
            "{name:?} is neither a host's name nor an address; write db1.example, 10.0.0.5 or fd00::5, without a port"
        )));
    }
    Ok(SanType::DnsName(name.try_into()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_authority_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (made, is_new) = Authority::open_or_make(dir.path()).unwrap();
        assert!(is_new);
        let (opened, is_new) = Authority::open_or_make(dir.path()).unwrap();
        assert!(!is_new && opened.pin() == made.pin());
        for (gone, stays) in [(AUTHORITY_KEY, AUTHORITY_CERTIFICATE), (AUTHORITY_CERTIFICATE, AUTHORITY_KEY)]
        {
            let (gone_text, stays_text) =
                (fs::read(dir.path().join(gone)).unwrap(), fs::read(dir.path().join(stays)).unwrap());
            fs::remove_file(dir.path().join(gone)).unwrap();
            let error = Authority::open_or_make(dir.path()).err().unwrap().to_string();
            assert!(error.contains(&format!("{stays} without {gone}")), "{error}");
            assert!(
                !dir.path().join(gone).exists() && fs::read(dir.path().join(stays)).unwrap() == stays_text
            );
            fs::write(dir.path().join(gone), gone_text).unwrap();
        }
    }
}
