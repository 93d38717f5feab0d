//! The coordinator's own certificate: found at the start, read again when its files change, renewed before it runs out where
//! the authority's key is at hand.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use bt_trust::{Authority, ServerFiles, ServerTls, renew_server};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::TlsOptions;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How long before its end the certificate is renewed.
const RENEW: Duration = Duration::from_secs(60 * 86_400);
/// How long before its end a certificate is warned of that can't be renewed here, and how often.
pub(crate) const WARN: Duration = Duration::from_secs(14 * 86_400);
const WARN_EVERY: u32 = 24 * 3600 / LOOK.as_secs() as u32;

/// The certificate, if lines are to be encrypted.
pub(crate) fn open(options: &TlsOptions) -> anyhow::Result<Option<Certificate>> {
    let TlsOptions { tls_dir, tls_cert, tls_key, .. } = options;
    let files = match (tls_cert, tls_key) {
        (Some(certificate), Some(key)) => {
            ServerFiles { certificate: certificate.clone(), key: key.clone(), authority: None }
        }
        _ => match tls_dir {
            Some(dir) => ServerFiles::in_dir(dir),
            None => return Ok(None),
        },
    };
    let own = tls_dir.clone();
    let tls = ServerTls::open(files)
        .context("read the coordinator's certificate; `btctl coordinator init` makes one")?;
    Ok(Some(Certificate { tls, own }))
}

pub(crate) struct Certificate {
    pub(crate) tls: ServerTls,
    /// Where the certificate is that the own authority signed.
    own: Option<PathBuf>,
}

impl Certificate {
    /// Keeps it valid until `shutdown`.
    pub(crate) async fn keep(self, shutdown: CancellationToken) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Once for each cause.
        let mut told = String::new();
        for number in 0_u32.. {
            tokio::select! {
                _ = looks.tick() => {}
                () = shutdown.cancelled() => return,
            }
            match self.tls.reload() {
                Ok(true) => {
                    info!("the certificate has changed; new connections are shown the new one");
                    told.clear();
                }
                Ok(false) => {}
                Err(error) if told != error.to_string() => {
                    warn!(error = %error, "the changed certificate can't be used; the one before is shown");
                    told = error.to_string();
                }
                Err(_) => {}
            }
            let left = self.tls.valid_for();
            match &self.own {
                Some(dir) if left < RENEW && renew(&self.tls, dir) => {}
                _ if left < WARN && number.is_multiple_of(WARN_EVERY) => {
                    warn!(
                        "the coordinator's certificate is valid for {} hours more; renew it",
                        left.as_secs() / 3600
                    );
                }
                _ => {}
            }
        }
    }
}

/// False where the authority's key is somewhere else.
fn renew(tls: &ServerTls, dir: &Path) -> bool {
    let renewed = Authority::open(dir).and_then(|authority| renew_server(dir, &authority, &tls.names()));
    match renewed {
        Ok(()) => info!("the coordinator's certificate was renewed"),
        Err(_) => return false,
    }
    true
}
