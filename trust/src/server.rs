//! The coordinator's end of a line: its certificate, read again when its files change.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::files::{self, SERVER_CERTIFICATE, SERVER_KEY};
use crate::{Error, Pin, provider};

/// Where a coordinator's certificate is.
#[derive(Clone, Debug)]
pub struct ServerFiles {
    /// The certificate with its chain.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl ServerFiles {
    /// Those that `btctl coordinator init` makes.
    pub fn in_dir(dir: &Path) -> Self {
        Self { certificate: dir.join(SERVER_CERTIFICATE), key: dir.join(SERVER_KEY) }
    }
}

/// Takes encrypted connections. Cheap to clone.
#[derive(Clone)]
pub struct ServerTls {
    files: ServerFiles,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

#[derive(Debug)]
struct Current(RwLock<Loaded>);

#[derive(Clone, Debug)]
struct Loaded {
    key: Arc<CertifiedKey>,
    /// What the files held. Times of files are too coarse to tell one write from the next.
    contents: [u8; 32],
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get().key)
    }
}

impl Current {
    fn get(&self) -> Loaded {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerTls {
    pub fn open(files: ServerFiles) -> Result<Self, Error> {
        let current = Arc::new(Current(RwLock::new(load(&files)?)));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { files, current, config: Arc::new(config) })
    }

    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.clone())
    }

    /// The pin to give to clients: of the last certificate of the chain.
    pub fn pin(&self) -> Option<Pin> {
        self.current.get().key.cert.last().map(Pin::of)
    }

    /// How long the certificate is still valid; nothing once it is not.
    pub fn valid_for(&self) -> Duration {
        let loaded = self.current.get();
        let own = loaded.key.cert.first().and_then(|own| X509Certificate::from_der(own).ok());
        let left = own.and_then(|(_, own)| own.validity().time_to_expiration());
        left.and_then(|left| left.try_into().ok()).unwrap_or_default()
    }

    /// The names and addresses that the certificate is for.
    pub fn names(&self) -> Vec<String> {
        let loaded = self.current.get();
        let Some((_, own)) = loaded.key.cert.first().and_then(|own| X509Certificate::from_der(own).ok())
        else {
            return Vec::new();
        };
        let names = own.subject_alternative_name().ok().flatten();
        let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
        let named = names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
                _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            },
            _ => None,
        });
        named.collect()
    }

    /// Reads the certificate again if its files were written since. True if another is shown from now on; those that can't be
    /// used change nothing.
    pub fn reload(&self) -> Result<bool, Error> {
        if contents(&self.files)? == self.current.get().contents {
            return Ok(false);
        }
        let loaded = load(&self.files)?;
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(true)
    }
}

fn contents(files: &ServerFiles) -> Result<[u8; 32], Error> {
    let mut hash = Sha256::new();
    for path in [&files.certificate, &files.key] {
        hash.update(files::read(path)?);
    }
    Ok(hash.finalize().into())
}

fn load(files: &ServerFiles) -> Result<Loaded, Error> {
    let contents = contents(files)?;
    let chain = files::certificates(&files.certificate)?;
    let key = files::key(&files.key)?;
    let unfit = |error: rustls::Error| Error::Unreadable {
        path: files.certificate.clone(),
        why: format!("it does not fit the key {}: {error}", files.key.display()),
    };
    let key = CertifiedKey::from_der(chain, key, &provider()).map_err(unfit)?;
    Ok(Loaded { key: Arc::new(key), contents })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::files::write_public;
    use crate::{Authority, ClientTrust, renew_server};

    fn certify(dir: &Path, authority: &Authority) {
        renew_server(dir, authority, &["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    }

    /// Why one of them does not take the other.
    async fn meet(tls: &ServerTls, trust: &ClientTrust, name: &str) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = tls.acceptor();
        let serving = async move {
            let (socket, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(socket).await.map_err(|error| error.to_string())?;
            stream.write_all(b"x").await.map_err(|error| error.to_string())
        };
        let config = trust.config().map_err(|error| error.to_string())?;
        let calling = async {
            let socket = TcpStream::connect(address).await?;
            let name = name.to_owned().try_into().unwrap();
            TlsConnector::from(Arc::new(config)).connect(name, socket).await?.read_u8().await
        };
        let (served, called): (Result<(), String>, std::io::Result<u8>) = tokio::join!(serving, calling);
        called.map_err(|error| error.to_string())?;
        served
    }

    #[tokio::test]
    async fn only_the_pinned_authority_is_believed() {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (authority, foreign) =
            (Authority::make(ours.path()).unwrap(), Authority::make(theirs.path()).unwrap());
        certify(ours.path(), &authority);
        let tls = ServerTls::open(ServerFiles::in_dir(ours.path())).unwrap();
        assert_eq!(tls.pin(), Some(authority.pin()));
        assert_eq!(Authority::open(ours.path()).unwrap().pin(), authority.pin());
        assert_eq!(tls.names(), ["localhost", "127.0.0.1"]);
        assert!(tls.valid_for() > Duration::from_secs(360 * 86400));

        let pinned = ClientTrust { pin: Some(authority.pin()) };
        assert_eq!(meet(&tls, &pinned, "localhost").await, Ok(()));
        assert_eq!(meet(&tls, &pinned, "127.0.0.1").await, Ok(()));
        let error = meet(&tls, &pinned, "db.example").await.unwrap_err();
        assert!(error.contains("db.example") && error.contains("localhost"), "{error}");
        let error = meet(&tls, &ClientTrust { pin: Some(foreign.pin()) }, "localhost").await;
        let error = error.unwrap_err();
        assert!(error.contains(&authority.pin().to_string()) && error.contains("was asked for"), "{error}");
    }

    #[tokio::test]
    async fn a_new_certificate_is_shown_and_a_broken_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::make(dir.path()).unwrap();
        certify(dir.path(), &authority);
        let tls = ServerTls::open(ServerFiles::in_dir(dir.path())).unwrap();
        assert!(!tls.reload().unwrap());
        let before = tls.current.get().key;
        certify(dir.path(), &authority);
        assert!(tls.reload().unwrap());
        assert_ne!(tls.current.get().key.cert, before.cert);
        write_public(&dir.path().join(SERVER_CERTIFICATE), "nothing").unwrap();
        let error = tls.reload().unwrap_err().to_string();
        assert!(error.contains("server.pem") && error.contains("-----BEGIN CERTIFICATE"), "{error}");
        let pinned = ClientTrust { pin: Some(authority.pin()) };
        assert_eq!(meet(&tls, &pinned, "localhost").await, Ok(()));
    }

    #[test]
    fn names_and_keys_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::make(dir.path()).unwrap();
        for wrong in ["", "http://x", "a b", "x:7600", "a..b"] {
            let error = authority.certify_server(&[wrong.to_owned()]).err().unwrap().to_string();
            assert!(error.contains("without a port"), "{wrong}: {error}");
        }
        certify(dir.path(), &authority);
        let key = dir.path().join(SERVER_KEY);
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(&key, open).unwrap();
        let error = ServerTls::open(ServerFiles::in_dir(dir.path())).err().unwrap().to_string();
        assert!(error.contains("chmod o=") && error.contains("0644"), "{error}");
    }
}
