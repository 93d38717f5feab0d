//! Images at the Engine: what it has, what it pulls, what is loaded into it.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::errors::Error as Fault;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ImportImageOptionsBuilder, ListContainersOptionsBuilder,
    RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use bt_model::image::has_tag;
use bt_model::resources::ByteSize;
use bytes::Bytes;
use docker_credential::{CredentialRetrievalError as Absent, DockerCredential};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::docker::fault::{self, within};
use crate::docker::{Docker, READ_DEADLINE, podman};
use crate::{Error, ImageFacts};

/// How long a pull, or loading, may make no progress.
const IDLE_DEADLINE: Duration = Duration::from_secs(5 * 60);
/// How often a pull says how far it is.
const TELL: Duration = Duration::from_millis(500);
/// Where Docker keeps the log-in of its own hub.
const HUB: &str = "https://index.docker.io/v1/";

impl Docker {
    /// An image that is here.
    pub(crate) async fn image(&self, image: &str) -> Result<Option<ImageFacts>, Error> {
        match within("inspect image", READ_DEADLINE, None, self.client.inspect_image(image)).await {
            Ok(found) => {
                let config = found.config.unwrap_or_default();
                Ok(Some(ImageFacts {
                    id: found.id.unwrap_or_else(|| image.to_owned()),
                    digests: digests(found.repo_digests),
                    os: found.os.unwrap_or_default(),
                    arch: found.architecture.unwrap_or_default(),
                    entrypoint: config.entrypoint.unwrap_or_default(),
                    command: config.cmd.unwrap_or_default(),
                    working_dir: config.working_dir.unwrap_or_default(),
                    volumes: config.volumes.unwrap_or_default(),
                    env: config
                        .env
                        .unwrap_or_default()
                        .into_iter()
                        .filter_map(|variable| {
                            let (name, value) = variable.split_once('=')?;
                            Some((name.to_owned(), value.to_owned()))
                        })
                        .collect(),
                    user: config.user.unwrap_or_default(),
                }))
            }
            Err(Error::Engine { status: Some(404), .. }) => Ok(None),
            Err(Error::Engine { status: Some(400), message, .. }) => {
                Err(Error::NoSuchImage { image: image.to_owned(), message })
            }
            Err(error) => Err(error),
        }
    }

    /// Pulls an image, and says how far it is.
    pub(crate) async fn pull(
        &self,
        image: &str,
        platform: Option<&str>,
        tell: &(dyn Fn(String) + Sync),
    ) -> Result<(), Error> {
        let mut options = CreateImageOptionsBuilder::new().from_image(image);
        // Without a tag the Engine would pull every tag that the repository has.
        if !image.contains('@') && !has_tag(image) {
            options = options.tag("latest");
        }
        if let Some(platform) = platform {
            options = options.platform(platform);
        }
        let login = login(image).await;
        let mut steps = self.client.create_image(Some(options.build()), None, login).boxed();
        let mut layers: HashMap<String, (u64, u64)> = HashMap::new();
        tell(format!("pulling the image {image}"));
        let mut telling = tokio::time::interval(TELL);
        let (mut heard, mut told) = (Instant::now(), (0, 0));
        loop {
            // A pull that comes to a halt says how far it has come, too.
            let step = tokio::select! {
                step = steps.next() => step,
                _ = telling.tick() => {
                    let sum = layers.values().fold((0, 0), |sum, layer| (sum.0 + layer.0, sum.1 + layer.1));
                    if sum != told {
                        told = sum;
                        tell(format!("pulling the image {image}: {} of {}", ByteSize(sum.0), ByteSize(sum.1)));
                    }
                    if heard.elapsed() > IDLE_DEADLINE {
                        return Err(Error::Timeout { call: "pull", after: IDLE_DEADLINE });
                    }
                    continue;
                }
            };
            heard = Instant::now();
            let step = match step {
                None => return Ok(()),
                Some(Ok(step)) => step,
                Some(Err(fault)) => return Err(pull_refused(image, fault)),
            };
            let bytes =
                step.progress_detail.as_ref().filter(|_| step.status.as_deref() == Some("Downloading"));
            if let (Some(layer), Some(detail)) = (step.id, bytes) {
                let amount =
                    |amount: Option<i64>| amount.and_then(|amount| u64::try_from(amount).ok()).unwrap_or(0);
                layers.insert(layer, (amount(detail.current), amount(detail.total)));
            }
        }
    }

    /// Loads what `docker save` wrote.
    pub(crate) async fn load(
        &self,
        image: &str,
        data: BoxStream<'static, io::Result<Bytes>>,
    ) -> Result<(), Error> {
        let options = ImportImageOptionsBuilder::new().build();
        // The Engine says nothing before it has all of it.
        let (sent, mut pieces) = watch::channel(());
        let data = data.inspect(move |_| sent.send_replace(()));
        let mut steps = self.client.import_image_stream(options, data, None).boxed();
        loop {
            let step = tokio::select! {
                step = steps.next() => step,
                Ok(()) = pieces.changed() => continue,
                () = sleep(IDLE_DEADLINE) => {
                    return Err(Error::Timeout { call: "load", after: IDLE_DEADLINE });
                }
            };
            match step {
                None => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(fault)) => return Err(pull_refused(image, fault)),
            }
        }
    }

    /// Gives an image a name, which another image must not bear.
    pub(crate) async fn tag(&self, id: &str, name: &str) -> Result<(), Error> {
        let (repository, tag) = match has_tag(name) {
            true => name.rsplit_once(':').unwrap_or((name, "latest")),
            false => (name, "latest"),
        };
        let options = TagImageOptionsBuilder::new().repo(repository).tag(tag).build();
        within("tag", READ_DEADLINE, None, self.client.tag_image(id, Some(options))).await
    }

    /// Removes an image by its id, with all its names, unless a container needs it. Fine if it is gone.
    pub(crate) async fn remove_image(&self, image: &str) -> Result<(), Error> {
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&HashMap::from([("ancestor", vec![image.to_owned()])]))
            .build();
        let users = within("list", READ_DEADLINE, None, self.client.list_containers(Some(options))).await?;
        if !users.is_empty() {
            let message = format!("{} containers need the image", users.len());
            return Err(Error::Engine { call: "remove image", status: Some(409), message });
        }
        // An image with several names is removed only by force.
        let options = RemoveImageOptionsBuilder::new().force(true).build();
        let removing = self.client.remove_image(image, Some(options), None);
        match within("remove image", self.deadline, None, removing).await {
            Ok(_) | Err(Error::Engine { status: Some(404), .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// An image as `docker save` writes it.
    pub(crate) fn save(&self, image: &str) -> BoxStream<'static, Result<Bytes, Error>> {
        let name = image.to_owned();
        let pieces = self.client.export_image(image);
        pieces.map(move |piece| piece.map_err(|fault| pull_refused(&name, fault))).boxed()
    }
}

/// By which registries know an image.
pub(super) fn digests(told: Option<Vec<String>>) -> Vec<String> {
    let told = told.unwrap_or_default();
    told.into_iter().filter(|digest| podman::is_registrys(digest)).collect()
}

/// What Docker's own config file, or the helper that it names, has for the image's registry.
async fn login(image: &str) -> Option<DockerCredentials> {
    let registry = registry(image);
    // A helper is a program that may ask somebody.
    let asked = {
        let registry = registry.clone();
        tokio::task::spawn_blocking(move || docker_credential::get_credential(&registry)).await
    };
    let serveraddress = Some(registry);
    match asked.ok()? {
        Ok(DockerCredential::UsernamePassword(username, password)) => Some(DockerCredentials {
            username: Some(username),
            password: Some(password),
            serveraddress,
            ..DockerCredentials::default()
        }),
        Ok(DockerCredential::IdentityToken(token)) => Some(DockerCredentials {
            identitytoken: Some(token),
            serveraddress,
            ..DockerCredentials::default()
        }),
        Err(Absent::NoCredentialConfigured | Absent::ConfigNotFound | Absent::ConfigReadError) => None,
        // Docker's own words for a registry that a helper does not know.
        Err(Absent::HelperFailure { stdout, .. }) if stdout.contains("credentials not found") => None,
        Err(error) => {
            tracing::warn!(image, "the log-in for the image's registry can't be had: {error}");
            None
        }
    }
}

/// The registry's name as log-ins are kept: the part before the first slash, if it looks like a host.
fn registry(image: &str) -> String {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => match host {
            "docker.io" | "index.docker.io" => HUB.to_owned(),
            host => host.to_owned(),
        },
        _ => HUB.to_owned(),
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
    if fault::is_full(&message) {
        Error::DiskFull { message }
    } else if says(&[
        "denied",
        "unauthorized",
        "authentication required",
        "no basic auth credentials",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_told_from_a_name() {
        assert_eq!(registry("python:3"), HUB);
        assert_eq!(registry("team/python"), HUB);
        assert_eq!(registry("docker.io/library/python"), HUB);
        assert_eq!(registry("reg.example/python"), "reg.example");
        assert_eq!(registry("localhost/python"), "localhost");
        assert_eq!(registry("127.0.0.1:5000/a/b:1"), "127.0.0.1:5000");
    }

    #[test]
    fn what_the_registry_says_decides() {
        let refused =
            |message: &str| pull_refused("x:1", Fault::DockerStreamError { error: message.to_owned() });
        assert!(matches!(refused("pull access denied for x"), Error::NoSuchImage { .. }));
        assert!(matches!(refused("manifest unknown: manifest unknown"), Error::NoSuchImage { .. }));
        assert!(matches!(refused("no basic auth credentials"), Error::NoSuchImage { .. }));
        assert!(matches!(refused("write /x: no space left on device"), Error::DiskFull { .. }));
        assert!(matches!(refused("dial tcp: lookup r: no such host"), Error::ImageRefused { .. }));
    }
}
