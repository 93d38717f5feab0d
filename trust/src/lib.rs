//! Who is at the other end of a line: the cluster's own certificate authority, the certificates of coordinators,
//! and lines that are encrypted and checked by them. Knows nothing of queues and messages.
//!
//! A cluster has one authority, made by `btctl coordinator init`. Its certificate is named by its pin, the SHA-256 of its DER,
//! which clients and agents are given beforehand: whoever holds the pin needs no other authority and no first use on trust.
//! Keys never leave the machine that made them. Lines speak TLS 1.3.

mod agent;
mod authority;
mod client;
mod files;
mod pin;
mod server;
mod signatures;

pub use agent::{AgentKey, KeyHash, OwnCertificate, ShownAgent, SignedAgent};
pub use authority::{Authority, renew_server};
pub use client::{ClientTrust, ConnectError, connect, connect_lazy};
pub use files::{AUTHORITY_KEY, SERVER_CERTIFICATE, write_private};
pub use pin::Pin;
pub use server::{ServerFiles, ServerTls, agent_of};

/// What went wrong with a certificate or a key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {error}", path.display())]
    File { path: std::path::PathBuf, error: std::io::Error },
    #[error("{}: {why}", path.display())]
    Unreadable { path: std::path::PathBuf, why: String },
    #[error("{0}")]
    Invalid(String),
    #[error("make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error("set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// The one that all lines use.
fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    std::sync::Arc::new(rustls::crypto::ring::default_provider())
}
