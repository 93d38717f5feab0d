//! Certificates and keys as files. Keys are readable by their owner alone, from the moment that they are there.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::Error;

/// Files of the directory that `btctl coordinator init` makes.
pub(crate) const AUTHORITY_CERTIFICATE: &str = "ca.pem";
pub const AUTHORITY_KEY: &str = "ca.key";
pub const SERVER_CERTIFICATE: &str = "server.pem";
pub(crate) const SERVER_KEY: &str = "server.key";

/// Writes what others may read.
pub(crate) fn write_public(path: &Path, text: &str) -> Result<(), Error> {
    write(path, text, 0o644)
}

/// Writes what only this user may read.
pub fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    write(path, text, 0o600)
}

/// Under another name first: nobody reads half a file.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let fails = |error| Error::File { path: path.to_owned(), error };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new: PathBuf = path.with_file_name(name);
    fs::remove_file(&new).ok();
    let writing = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    writing().map_err(fails)
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::File { path: path.to_owned(), error })
}

/// Reads a chain of certificates, the first one's own first.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unreadable = |why: String| Error::Unreadable { path: path.to_owned(), why };
    let text = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| unreadable(format!("not a certificate as PEM: {error}")))?;
    match chain.is_empty() {
        true => Err(unreadable(
            "there is no certificate in it; it begins with -----BEGIN CERTIFICATE-----".to_owned(),
        )),
        false => Ok(chain),
    }
}

/// Reads a key that nobody else may read.
pub(crate) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let text = key_text(path)?;
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| Error::Unreadable {
        path: path.to_owned(),
        why: format!("not a private key as PEM: {error}"),
    })
}

pub(crate) fn key_text(path: &Path) -> Result<String, Error> {
    let fails = |error| Error::File { path: path.to_owned(), error };
    let found = fs::metadata(path).map_err(fails)?;
    if found.mode() & 0o007 != 0 {
        return Err(Error::Unreadable {
            path: path.to_owned(),
            why: format!(
                "everyone on this machine may use this key (mode {:04o}); run `chmod o= {}`",
                found.mode() & 0o7777,
                path.display()
            ),
        });
    }
    fs::read_to_string(path).map_err(fails)
}
