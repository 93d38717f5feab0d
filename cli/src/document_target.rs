//! Where a command writes a document: to standard output, or to a file that has it whole or stays as it was.

use std::fs::Permissions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::Error;
use crate::output::Out as Stdout;

/// Where a document goes.
pub(crate) enum DocumentTarget {
    Stdout(Stdout),
    File(BufWriter<NamedTempFile>, PathBuf),
}

impl DocumentTarget {
    /// Standard output, or a file beside which it grows until it is whole.
    pub(crate) fn open(file: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = file else { return Ok(Self::Stdout(Stdout::stdout())) };
        let dir = directory_of(path);
        if !dir.is_dir() {
            let told =
                format!("{} can't be written: there is no directory {}", path.display(), dir.display());
            return Err(Error::Failed(told));
        }
        if path.is_dir() {
            return Err(Error::Failed(format!("{} is a directory; name a file in it", path.display())));
        }
        let part = tempfile::Builder::new()
            .prefix(".btctl-part-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(dir)
            .map_err(|error| Error::Failed(format!("{} can't be written: {error}", path.display())))?;
        Ok(Self::File(BufWriter::new(part), path.to_owned()))
    }

    pub(crate) fn finish(self) -> Result<(), Error> {
        match self {
            Self::Stdout(out) => out.finish(),
            Self::File(out, path) => {
                let failed = |error: std::io::Error| {
                    Error::Failed(format!("{} can't be written: {error}", path.display()))
                };
                let part = out.into_inner().map_err(|error| failed(error.into_error()))?;
                part.as_file().sync_all().map_err(failed)?;
                part.persist(&path).map_err(|error| failed(error.error))?;
                Ok(())
            }
        }
    }
}

impl Write for DocumentTarget {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(data),
            Self::File(out, _) => out.write(data),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File(out, _) => out.flush(),
        }
    }
}

pub(crate) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
