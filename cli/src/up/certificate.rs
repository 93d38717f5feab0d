//! The certificate that a `btctl up` makes for itself, and the names that a coordinator's certificate is for.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use bt_trust::{Authority, Pin, SERVER_CERTIFICATE, renew_server};

use crate::error::Error;

/// Makes an authority and a certificate in this directory, for all that others may call this machine by; what is there stays.
pub(super) fn make_if_missing(dir: &Path) -> Result<Pin, Error> {
    let fails = |error: bt_trust::Error| Error::Failed(error.to_string());
    if dir.join(SERVER_CERTIFICATE).exists() {
        return Ok(Authority::open(dir).map_err(fails)?.pin());
    }
    let make = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    make.map_err(|error| Error::Failed(format!("{} can't be made: {error}", dir.display())))?;
    let (authority, _) = Authority::open_or_make(dir).map_err(fails)?;
    renew_server(dir, &authority, &with_local(found_names())).map_err(fails)?;
    Ok(authority.pin())
}

/// These names, and those by which this machine calls itself, each once.
pub(crate) fn with_local(names: Vec<String>) -> Vec<String> {
    let local = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut seen = BTreeSet::new();
    names.into_iter().chain(local).filter(|name| seen.insert(name.to_lowercase())).collect()
}

/// A host as it stands in an address: IPv6 has brackets there.
pub(crate) fn in_address(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// By what others may call this machine.
pub(crate) fn found_names() -> Vec<String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let outward = crate::exposed::for_others(SocketAddr::from(([0, 0, 0, 0], 0)));
    let outward = outward.parse::<SocketAddr>().ok().map(|address| address.ip().to_string());
    outward.into_iter().chain((!host.is_empty()).then_some(host)).collect()
}
