//! The caller's end of a line.

use std::io;
use std::pin::Pin as BoxPin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};
use tower_service::Service;

use crate::signatures::Signatures;
use crate::{Error, OwnCertificate, Pin, provider};

const H2: &[u8] = b"h2";

/// Whom a caller believes.
#[derive(Clone, Debug, Default)]
pub struct ClientTrust {
    /// The certificate that the server's chain must lead to. Without one, what the machine itself trusts.
    pub pin: Option<Pin>,
    /// What the caller shows itself, if anything.
    pub own: Option<OwnCertificate>,
}

impl ClientTrust {
    /// Believes a server whose chain leads to the certificate with this pin.
    pub fn pinned(pin: Option<Pin>) -> Self {
        Self { pin, own: None }
    }
}

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("{0}")]
    Trust(#[from] Error),
    #[error("{0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Connects: encrypted where the address begins with `https`, else not.
pub async fn connect(endpoint: &Endpoint, trust: &ClientTrust) -> Result<Channel, ConnectError> {
    match encrypts(endpoint) {
        true => Ok(endpoint.connect_with_connector(Connector::new(trust)?).await?),
        false => Ok(endpoint.connect().await?),
    }
}

/// As [`connect`], when the first call is made.
pub fn connect_lazy(endpoint: &Endpoint, trust: &ClientTrust) -> Result<Channel, Error> {
    match encrypts(endpoint) {
        true => Ok(endpoint.connect_with_connector_lazy(Connector::new(trust)?)),
        false => Ok(endpoint.connect_lazy()),
    }
}

fn encrypts(endpoint: &Endpoint) -> bool {
    endpoint.uri().scheme_str() == Some("https")
}

impl ClientTrust {
    pub(crate) fn config(&self) -> Result<ClientConfig, Error> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?;
        let builder = match self.pin {
            Some(pin) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Pinned { pin, signatures: Signatures::new() })),
            None => builder.with_root_certificates(roots_of_machine()?),
        };
        let mut config = match &self.own {
            Some(own) => {
                let (chain, key) = own.chain();
                builder.with_client_auth_cert(chain, key)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![H2.to_vec()];
        Ok(config)
    }
}

fn roots_of_machine() -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => Err(Error::Invalid(
            "this machine trusts no authority (it has no certificates of any), and no pin was given"
                .to_owned(),
        )),
        false => Ok(roots),
    }
}

/// Believes a chain that leads to one certificate, and nothing else.
#[derive(Debug)]
struct Pinned {
    pin: Pin,
    signatures: Signatures,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The pin of the very certificate that is shown leaves nothing to be asked of an authority.
        if Pin::of(own) == self.pin {
            return Ok(ServerCertVerified::assertion());
        }
        let Some(anchor) = chain.iter().find(|certificate| Pin::of(certificate) == self.pin) else {
            let shown = chain.last().unwrap_or(own);
            return Err(rustls::Error::General(format!(
                "the server's certificate is of an authority with the pin {}, and {} was asked for: another cluster, or someone \
                 in between",
                Pin::of(shown),
                self.pin
            )));
        };
        let mut roots = RootCertStore::empty();
        roots.add(anchor.clone().into_owned())?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.signatures.0.clone());
        let verifier = verifier.build().map_err(|error| rustls::Error::General(error.to_string()))?;
        verifier.verify_server_cert(own, chain, name, ocsp, now)
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

/// Opens encrypted connections for tonic.
#[derive(Clone)]
struct Connector {
    config: Arc<ClientConfig>,
}

impl Connector {
    fn new(trust: &ClientTrust) -> Result<Self, Error> {
        Ok(Self { config: Arc::new(trust.config()?) })
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = BoxPin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = TlsConnector::from(self.config.clone());
        Box::pin(async move {
            let host = uri.host().unwrap_or_default();
            // An address of IPv6 stands in brackets.
            let host =
                host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned();
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            let socket = TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or(443))).await?;
            socket.set_nodelay(true)?;
            connector.connect(name, socket).await.map(TokioIo::new).map_err(explained)
        })
    }
}

/// Says what a caller can do something about: a server without TLS answers with what is no TLS, and what is
/// refused here has words of its own.
fn explained(error: io::Error) -> io::Error {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidMessage(_)) => {
            io::Error::new(error.kind(), "the server at this address speaks no TLS; is its address http://?")
        }
        Some(rustls::Error::General(why)) => io::Error::new(error.kind(), why.clone()),
        _ => error,
    }
}
