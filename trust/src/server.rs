//! The coordinator's end of a line: its certificate, read again when its files change.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::agent::{ShownAgent, shown};
use crate::files::{self, AUTHORITY_CERTIFICATE, SERVER_CERTIFICATE, SERVER_KEY};
use crate::signatures::Signatures;
use crate::{Error, Pin, provider};

/// Where a coordinator's certificate is.
#[derive(Clone, Debug)]
pub struct ServerFiles {
    /// The certificate with its chain.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The authority whose agents are believed; without one no caller is asked for a certificate.
    pub authority: Option<PathBuf>,
}

impl ServerFiles {
    /// Those that `btctl coordinator init` makes.
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            certificate: dir.join(SERVER_CERTIFICATE),
            key: dir.join(SERVER_KEY),
            authority: Some(dir.join(AUTHORITY_CERTIFICATE)),
        }
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
    authority: Option<CertificateDer<'static>>,
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
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?;
        let builder = match current.get().authority {
            Some(authority) => {
                builder.with_client_cert_verifier(Arc::new(AgentVerifier::new(current.clone(), &authority)?))
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(current.clone());
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

/// The agent that showed its certificate on a connection.
pub fn agent_of(line: &rustls::ServerConnection) -> Option<ShownAgent> {
    shown(line.peer_certificates()?.first()?)
}

/// Believes callers whose certificate the authority has signed, and lets in those that show none.
#[derive(Debug)]
struct AgentVerifier {
    current: Arc<Current>,
    signatures: Signatures,
    /// The authority's name: browsers offer no certificate of another one.
    names: [DistinguishedName; 1],
}

impl AgentVerifier {
    fn new(current: Arc<Current>, authority: &CertificateDer<'_>) -> Result<Self, Error> {
        let parsed = X509Certificate::from_der(authority);
        let (_, parsed) =
            parsed.map_err(|error| Error::Invalid(format!("the authority's certificate: {error}")))?;
        let names = [DistinguishedName::from(parsed.subject().as_raw().to_vec())];
        Ok(Self { current, signatures: Signatures::new(), names })
    }
}

impl ClientCertVerifier for AgentVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.names
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let unfit = |why: String| rustls::Error::General(why);
        let mut roots = RootCertStore::empty();
        let authority = self.current.get().authority;
        roots.add(authority.ok_or_else(|| unfit("there is no authority".to_owned()))?)?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), self.signatures.0.clone());
        let verifier = verifier.build().map_err(|error| unfit(error.to_string()))?;
        verifier.verify_client_cert(own, chain, now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Signatures::refuse_older()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signatures.verify(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.schemes()
    }
}

fn contents(files: &ServerFiles) -> Result<[u8; 32], Error> {
    let mut hash = Sha256::new();
    for path in [&files.certificate, &files.key].into_iter().chain(&files.authority) {
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
    let authority = match &files.authority {
        Some(path) => Some(files::certificates(path)?.swap_remove(0)),
        None => None,
    };
    Ok(Loaded { key: Arc::new(key), authority, contents })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsConnector;
    use uuid::Uuid;

    use super::*;
    use crate::files::write_public;
    use crate::{AgentKey, Authority, ClientTrust, renew_server};

    fn certify(dir: &Path, authority: &Authority) {
        renew_server(dir, authority, &["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    }

    /// Which agent the server sees, or why one of them does not take the other.
    async fn meet(tls: &ServerTls, trust: &ClientTrust, name: &str) -> Result<Option<Uuid>, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = tls.acceptor();
        let serving = async move {
            let (socket, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(socket).await.map_err(|error| error.to_string())?;
            let shown = agent_of(stream.get_ref().1);
            stream.write_all(b"x").await.map_err(|error| error.to_string())?;
            Ok(shown.map(|shown| shown.agent))
        };
        let config = trust.config().map_err(|error| error.to_string())?;
        let calling = async {
            let socket = TcpStream::connect(address).await?;
            let name = name.to_owned().try_into().unwrap();
            TlsConnector::from(Arc::new(config)).connect(name, socket).await?.read_u8().await
        };
        let (served, called): (Result<_, String>, std::io::Result<u8>) = tokio::join!(serving, calling);
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

        let pinned = ClientTrust::pinned(Some(authority.pin()));
        assert_eq!(meet(&tls, &pinned, "localhost").await, Ok(None));
        assert_eq!(meet(&tls, &pinned, "127.0.0.1").await, Ok(None));
        let error = meet(&tls, &pinned, "db.example").await.unwrap_err();
        assert!(error.contains("db.example") && error.contains("localhost"), "{error}");
        let error = meet(&tls, &ClientTrust::pinned(Some(foreign.pin())), "localhost").await;
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
        let pinned = ClientTrust::pinned(Some(authority.pin()));
        assert_eq!(meet(&tls, &pinned, "localhost").await, Ok(None));
    }

    #[tokio::test]
    async fn an_agent_is_known_by_a_certificate_of_this_authority_alone() {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (authority, foreign) =
            (Authority::make(ours.path()).unwrap(), Authority::make(theirs.path()).unwrap());
        certify(ours.path(), &authority);
        let tls = ServerTls::open(ServerFiles::in_dir(ours.path())).unwrap();
        let key = AgentKey::open(&ours.path().join("agent.key")).unwrap();
        let request = key.request().unwrap();
        let agent = Uuid::from_u128(7);
        let as_agent = |authority: &Authority, holds| {
            let signed = authority.certify_agent(&request, agent, holds).unwrap();
            let own = key.keep(&ours.path().join("agent.pem"), &signed.certificate).unwrap();
            ClientTrust {
                own: Some(own),
                ..ClientTrust::pinned(Some(Authority::open(ours.path()).unwrap().pin()))
            }
        };
        let day = Duration::from_secs(86_400);
        assert_eq!(meet(&tls, &as_agent(&authority, day), "localhost").await, Ok(Some(agent)));
        let error = meet(&tls, &as_agent(&foreign, day), "localhost").await.unwrap_err();
        assert!(error.contains("fatal alert"), "{error}");
        let short = as_agent(&authority, Duration::ZERO);
        // Certificates have whole seconds.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let error = meet(&tls, &short, "localhost").await.unwrap_err();
        assert!(error.to_lowercase().contains("expired"), "{error}");
        // One who shows none is let in; who that is is asked by other means.
        assert_eq!(meet(&tls, &ClientTrust::pinned(Some(authority.pin())), "localhost").await, Ok(None));
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
