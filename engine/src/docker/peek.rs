//! Looks at files of an image, in a container of it that is made, never started, and removed.

use std::io::Read;

use bollard::query_parameters::{ContainerArchiveInfoOptionsBuilder, DownloadFromContainerOptionsBuilder};
use bt_model::id::{AgentId, AttemptId};
use futures_util::StreamExt;

use crate::docker::fault::within;
use crate::docker::{Docker, READ_DEADLINE, name};
use crate::{ContainerSpec, Error, ImageFile, Peek};

/// Bytes of a file that are read.
const LARGEST: usize = 1 << 20;

impl Docker {
    /// What is seen in an image, in a container of it that is left to the caller to remove.
    pub(crate) async fn peek(
        &self,
        id: AttemptId,
        agent: AgentId,
        image: &str,
        path: Option<&str>,
    ) -> Result<Peek, Error> {
        self.create(&ContainerSpec::of_nothing(id, agent, image)).await?;
        Ok(Peek {
            passwd: self.file(id, "/etc/passwd").await?,
            group: self.file(id, "/etc/group").await?,
            has_path: match path {
                Some(path) => self.has_path(id, path).await?,
                None => false,
            },
        })
    }

    /// A file of a container's image.
    pub(crate) async fn file(&self, container: AttemptId, path: &str) -> Result<ImageFile, Error> {
        let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
        let container = name(container);
        let mut pieces = Box::pin(self.client.download_from_container(&container, Some(options)));
        let reading = async {
            let mut archive = Vec::new();
            while let Some(piece) = pieces.next().await {
                archive.extend_from_slice(&piece?);
                if archive.len() > LARGEST {
                    return Ok(None);
                }
            }
            Ok(Some(archive))
        };
        match within("read a file of the image", READ_DEADLINE, None, reading).await {
            Ok(Some(archive)) => Ok(text(&archive).map_or(ImageFile::Unreadable, ImageFile::Text)),
            Ok(None) => Ok(ImageFile::Unreadable),
            Err(Error::Engine { status: Some(404), .. } | Error::NoSuchCommand { .. }) => {
                Ok(ImageFile::Absent)
            }
            Err(error) => Err(error),
        }
    }

    /// True if a container's image has something at this path.
    pub(crate) async fn has_path(&self, container: AttemptId, path: &str) -> Result<bool, Error> {
        let options = ContainerArchiveInfoOptionsBuilder::new().path(path).build();
        let container = name(container);
        let call = self.client.get_container_archive_info(&container, Some(options));
        match within("look at a path of the image", READ_DEADLINE, None, call).await {
            Ok(_) => Ok(true),
            Err(Error::Engine { status: Some(404), .. } | Error::NoSuchCommand { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The one regular file of an archive, if it is text. A link is none: it may lead anywhere.
fn text(archive: &[u8]) -> Option<String> {
    let mut archive = tar::Archive::new(archive);
    let mut entry = archive.entries().ok()?.next()?.ok()?;
    let mut text = String::new();
    entry.header().entry_type().is_file().then_some(())?;
    entry.read_to_string(&mut text).ok()?;
    Some(text)
}
