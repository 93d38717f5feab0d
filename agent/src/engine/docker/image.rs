//! Images: what a name stands for, and having it on this machine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use bollard::errors::Error as Fault;
use bollard::models::ImageInspect;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;

use crate::engine::Error;
use crate::engine::docker::fault::{self, within};
use crate::engine::docker::{Docker, READ_DEADLINE};

/// How long a pull may make no progress.
const PULL_IDLE_DEADLINE: Duration = Duration::from_secs(5 * 60);
/// How often a pull that failed for no fault of the image is tried again.
const PULL_RETRIES: usize = 2;
const PULL_PAUSE: Duration = Duration::from_secs(1);

/// The pulls under way, so that an image that many attempts need at once is pulled once.
#[derive(Default)]
pub(super) struct Pulls(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl Pulls {
    fn of(&self, image: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut pulls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pulls.retain(|_, pull| pull.strong_count() > 0);
        if let Some(pull) = pulls.get(image).and_then(Weak::upgrade) {
            return pull;
        }
        let pull = Arc::new(tokio::sync::Mutex::new(()));
        pulls.insert(image.to_owned(), Arc::downgrade(&pull));
        pull
    }
}

impl Docker {
    /// The pin of an image that a manifest names: the digest by which a registry knows it, else the id of a local one.
    ///
    /// An image that is on this machine is taken as it is, as `docker run` does; only a missing one is pulled.
    pub(crate) async fn resolve_image(&self, image: &str) -> Result<String, Error> {
        let found = self.here_or_pulled(image).await?;
        if image.contains("@sha256:") {
            return Ok(image.to_owned());
        }
        let digests = found.repo_digests.unwrap_or_default();
        pin(image, &digests).or(found.id).ok_or_else(|| Error::NoSuchImage {
            image: image.to_owned(),
            message: "the container engine knows neither its digest nor its id".to_owned(),
        })
    }

    /// Sees to it that the pinned image is on this machine, and answers with its id.
    pub(crate) async fn ensure_image(&self, pin: &str) -> Result<String, Error> {
        let found = self.here_or_pulled(pin).await?;
        Ok(found.id.unwrap_or_else(|| pin.to_owned()))
    }

    async fn here_or_pulled(&self, image: &str) -> Result<ImageInspect, Error> {
        if let Some(found) = self.image(image).await? {
            return Ok(found);
        }
        if is_id(image) {
            return Err(Error::NoSuchImage {
                image: image.to_owned(),
                message: "it is a local image of another machine; push it to a registry and name it from there, or \
                          load it on each agent (docker save, docker load)"
                    .to_owned(),
            });
        }
        let pull = self.pulls.of(image);
        let _alone = pull.lock().await;
        if let Some(found) = self.image(image).await? {
            return Ok(found);
        }
        let patience = ExponentialBuilder::default()
            .with_min_delay(PULL_PAUSE)
            .with_max_times(PULL_RETRIES)
            .with_jitter();
        (|| self.pull(image))
            .retry(patience)
            .when(Error::is_transient)
            .notify(|error, pause| tracing::warn!(image, %error, ?pause, "pulling {image} again"))
            .await?;
        self.image(image).await?.ok_or_else(|| Error::NoSuchImage {
            image: image.to_owned(),
            message: "it was pulled, and is not there".to_owned(),
        })
    }

    async fn image(&self, image: &str) -> Result<Option<ImageInspect>, Error> {
        match within("inspect image", READ_DEADLINE, None, self.client.inspect_image(image)).await {
            Ok(found) => Ok(Some(found)),
            Err(Error::Engine { status: Some(404), .. }) => Ok(None),
            Err(Error::Engine { status: Some(400), message, .. }) => {
                Err(Error::NoSuchImage { image: image.to_owned(), message })
            }
            Err(error) => Err(error),
        }
    }

    async fn pull(&self, image: &str) -> Result<(), Error> {
        let mut options = CreateImageOptionsBuilder::new().from_image(image);
        // Without a tag the Engine would pull every tag that the repository has.
        if !image.contains('@') && !has_tag(image) {
            options = options.tag("latest");
        }
        let mut progress = self.client.create_image(Some(options.build()), None, None).boxed();
        loop {
            let step = tokio::time::timeout(PULL_IDLE_DEADLINE, progress.next())
                .await
                .map_err(|_| Error::Timeout { call: "pull", after: PULL_IDLE_DEADLINE })?;
            match step {
                None => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(fault)) => return Err(pull_refused(image, fault)),
            }
        }
    }
}

fn pull_refused(image: &str, fault: Fault) -> Error {
    let message = match fault {
        Fault::DockerResponseServerError { message, .. } => message,
        Fault::DockerStreamError { error } => error,
        other => return fault::of("pull", None, other),
    };
    let image = image.to_owned();
    let lower = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| lower.contains(words));
    if says(&["no space left on device", "disk quota exceeded"]) {
        Error::DiskFull { message }
    } else if says(&[
        "denied",
        "unauthorized",
        "authentication required",
        "manifest unknown",
        "not found",
        "does not exist",
        "invalid reference",
        "no matching manifest",
    ]) {
        // Registries say "denied" of a repository that they do not have.
        Error::NoSuchImage { image, message }
    } else {
        Error::ImageRefused { image, message }
    }
}

/// The digest that names `image` itself, or any other name of the same image.
fn pin(image: &str, digests: &[String]) -> Option<String> {
    let repository = repository(image);
    let named = digests.iter().find(|digest| {
        let name = digest.split('@').next().unwrap_or_default();
        name == repository
            || name == repository.trim_start_matches("docker.io/").trim_start_matches("library/")
    });
    named.or(digests.first()).cloned()
}

fn repository(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or(image);
    if has_tag(name) { name.rsplit_once(':').map_or(name, |(name, _)| name) } else { name }
}

/// A colon before the last slash belongs to a registry's port.
fn has_tag(image: &str) -> bool {
    image.rsplit('/').next().is_some_and(|last| last.contains(':'))
}

fn is_id(image: &str) -> bool {
    image.strip_prefix("sha256:").is_some_and(|hex| hex.chars().all(|digit| digit.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_the_name_itself_is_preferred() {
        let digests = ["reg:5000/a@sha256:1".to_owned(), "python@sha256:2".to_owned()];
        assert_eq!(pin("python:3.11-slim", &digests).as_deref(), Some("python@sha256:2"));
        assert_eq!(pin("docker.io/library/python:3", &digests).as_deref(), Some("python@sha256:2"));
        assert_eq!(pin("reg:5000/a", &digests).as_deref(), Some("reg:5000/a@sha256:1"));
        assert_eq!(pin("mine:1", &digests).as_deref(), Some("reg:5000/a@sha256:1"));
        assert_eq!(pin("mine:1", &[]), None);
    }

    #[test]
    fn a_port_is_no_tag() {
        assert!(has_tag("python:3"));
        assert!(!has_tag("reg:5000/a"));
        assert!(has_tag("reg:5000/a:1"));
        assert_eq!(repository("reg:5000/a:1@sha256:0"), "reg:5000/a");
    }

    #[test]
    fn what_the_registry_says_decides() {
        let refused =
            |message: &str| pull_refused("x:1", Fault::DockerStreamError { error: message.to_owned() });
        assert!(matches!(refused("pull access denied for x"), Error::NoSuchImage { .. }));
        assert!(matches!(refused("manifest unknown: manifest unknown"), Error::NoSuchImage { .. }));
        assert!(matches!(refused("write /x: no space left on device"), Error::DiskFull { .. }));
        assert!(matches!(refused("dial tcp: lookup r: no such host"), Error::ImageRefused { .. }));
    }
}
