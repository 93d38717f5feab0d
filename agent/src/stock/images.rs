//! The image of a sweep: what its name stands for, and having it on this machine.
//!
//! It comes from this machine, from what users have handed in to the coordinator, or from a registry, in that order. One
//! image is got once, however many attempts wait for it: all of them say how far it is, and take what comes of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use bt_engine::archive;
use bt_engine::{Error, ImageFacts};
use bt_model::image::has_tag;
use bt_model::manifest::Pull;
use bt_proto::v1;
use bt_proto::v1::agents_client::AgentsClient;
use futures_util::{StreamExt, TryStreamExt};
use tokio::sync::watch;
use tonic::Code;
use tracing::{info, warn};

use super::pulled::Pulled;
use crate::line::Line;

/// How often a pull that failed for no fault of the image is tried again before the attempt fails.
const PULL_RETRIES: usize = 2;
const PULL_PAUSE: Duration = Duration::from_secs(1);
/// How long the coordinator may take to say whether it has an image, or to send its next piece.
const ASK: Duration = Duration::from_secs(30);

/// How a sweep wants its image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ImageRequest<'w> {
    pub(crate) platform: Option<&'w str>,
    pub(crate) pull: Pull,
}

/// The images of this machine, and those that are being got.
pub(crate) struct Images {
    line: Arc<Line>,
    pulled: Pulled,
    getting: Mutex<HashMap<String, Weak<Getting>>>,
}

#[derive(Debug, Default)]
struct Getting {
    turn: tokio::sync::Mutex<Option<Got>>,
    progress: watch::Sender<String>,
}

/// What came of the latest try, and when.
#[derive(Debug)]
struct Got {
    ended: Instant,
    outcome: Result<(), Error>,
}

impl Images {
    pub(crate) fn new(line: Arc<Line>) -> Self {
        let pulled = Pulled::open(line.site.state.pulled());
        Self { line, pulled, getting: Mutex::default() }
    }

    fn of(&self, image: &str) -> Arc<Getting> {
        let mut getting = self.getting.lock().unwrap_or_else(PoisonError::into_inner);
        getting.retain(|_, getting| getting.strong_count() > 0);
        if let Some(getting) = getting.get(image).and_then(Weak::upgrade) {
            return getting;
        }
        let new = Arc::<Getting>::default();
        getting.insert(image.to_owned(), Arc::downgrade(&new));
        new
    }

    /// The pin of an image that a manifest names: the digest by which a registry knows it, else the id of a local one.
    pub(crate) async fn resolve(
        &self,
        image: &str,
        wanted: &ImageRequest<'_>,
        note: &(impl Fn(String) + Sync),
    ) -> Result<String, Error> {
        let facts = self.get(image, wanted, wanted.pull == Pull::Always, note).await?;
        if image.contains("@sha256:") {
            return Ok(image.to_owned());
        }
        // Who handed it in meant agents that reach no registry.
        match facts.digests.is_empty() || self.is_handed_in(&facts.id).await {
            true => Ok(facts.id),
            false => Ok(pin(image, &facts.digests).unwrap_or(facts.id)),
        }
    }

    /// Whether the coordinator has an image; no if it can't say.
    async fn is_handed_in(&self, id: &str) -> bool {
        let connection = self.line.link.connection().await;
        let request = v1::FetchImageRequest { image: id.to_owned() };
        let mut client = AgentsClient::new(connection.channel);
        tokio::time::timeout(ASK, client.fetch_image(request)).await.is_ok_and(|answer| answer.is_ok())
    }

    /// Sees to it that the pinned image is on this machine.
    pub(crate) async fn ensure(
        &self,
        pin: &str,
        wanted: &ImageRequest<'_>,
        note: &(impl Fn(String) + Sync),
    ) -> Result<ImageFacts, Error> {
        let facts = self.get(pin, wanted, false, note).await?;
        self.pulled.used(&facts.id);
        Ok(facts)
    }

    /// Why this machine does not run an image; nothing if it does. `pin` is what a coordinator says that the name stands for,
    /// which is believed only as far as the machine itself knows it: by a digest of an allowed repository, by an id that is
    /// allowed, or by the id that an allowed name has here.
    pub(crate) async fn refusal(&self, name: &str, pin: Option<&str>) -> Result<Option<String>, Error> {
        let allowed = &self.line.site.offer.images;
        let refusal = match pin {
            _ if allowed.are_all() => None,
            None => allowed.refusal(name),
            Some(id) if is_id(id) && !allowed.allow_id(id) => match allowed.refusal(name) {
                Some(why) => Some(why),
                None => {
                    let here = self.line.site.engine.image(name).await?;
                    let is_it = here.is_some_and(|facts| facts.id == id);
                    (!is_it).then(|| {
                        format!("the image {name} is to be {id}, which it is not here, and only these are allowed: {allowed}")
                    })
                }
            },
            Some(pin) => allowed.refusal(pin),
        };
        Ok(refusal.map(|why| format!("runs only some images (--allow-image): {why}")))
    }

    /// Gets images before any job asks for them. What can't be had is told, and got when a job needs it.
    pub(crate) async fn prefetch(&self) {
        for image in &self.line.site.options.prefetch {
            let wanted = ImageRequest { platform: None, pull: Pull::Missing };
            match self.get(image, &wanted, false, &|_| {}).await {
                Ok(_) => info!(image, "prefetched {image}"),
                Err(error) => warn!(image, error = %error, "{image} is not prefetched"),
            }
        }
    }

    /// When the disk is nearly full: removes the image that was not used for longest, if the agent got it itself.
    pub(crate) async fn make_room(&self) {
        let Some(id) = self.pulled.oldest() else { return };
        match self.line.site.engine.remove_image(&id).await {
            Ok(()) => {
                info!(
                    image.id = id,
                    "the disk is nearly full: an image that was not used for long is removed"
                );
                self.pulled.removed(&id);
            }
            Err(error) => {
                info!(image.id = id, error = %error, "an old image is kept");
                self.pulled.got(&id);
            }
        }
    }

    async fn get(
        &self,
        image: &str,
        wanted: &ImageRequest<'_>,
        anew: bool,
        note: &(impl Fn(String) + Sync),
    ) -> Result<ImageFacts, Error> {
        if !anew && let Some(found) = self.line.site.engine.image(image).await? {
            return Ok(found);
        }
        if wanted.pull == Pull::Never {
            let message = "it is not on this machine, and the manifest says `pull: never`".to_owned();
            return Err(Error::NoSuchImage { image: image.to_owned(), message });
        }
        // What one platform can't have, another may.
        let getting = self.of(&format!("{image} {}", wanted.platform.unwrap_or_default()));
        let asked = Instant::now();
        let mut turn = wait_for_turn(&getting, note).await;
        let meanwhile = turn.as_ref().filter(|got| got.ended >= asked).map(|got| &got.outcome);
        let fresh = !anew || matches!(meanwhile, Some(Ok(())));
        if fresh && let Some(found) = self.line.site.engine.image(image).await? {
            return Ok(found);
        }
        if let Some(Err(error)) = meanwhile {
            return Err(error.clone());
        }
        let got = self.fetch(image, wanted, &getting, note).await;
        match &got {
            Ok(facts) => self.pulled.got(&facts.id),
            Err(Error::DiskFull { .. }) => self.line.site.health.engine_is_full(),
            Err(_) => {}
        }
        let outcome = got.as_ref().map(|_| ()).map_err(Clone::clone);
        *turn = Some(Got { ended: Instant::now(), outcome });
        got
    }

    /// Gets an image from wherever it is, whether or not this machine has it.
    async fn fetch(
        &self,
        image: &str,
        wanted: &ImageRequest<'_>,
        getting: &Getting,
        note: &(impl Fn(String) + Sync),
    ) -> Result<ImageFacts, Error> {
        let tell = |text: String| {
            getting.progress.send_replace(text.clone());
            note(text);
        };
        if let Some(found) = self.handed_in(image, &tell).await? {
            return Ok(found);
        }
        if is_id(image) {
            return Err(Error::NoSuchImage {
                image: image.to_owned(),
                message: "it is a local image of another machine; `btctl image push` brings it to all agents, and so does a \
                          registry"
                    .to_owned(),
            });
        }
        (|| self.line.site.engine.pull(image, wanted.platform, &tell))
            .retry(patience())
            .when(Error::is_transient)
            .notify(|error, pause| warn!(image, %error, ?pause, "pulling {image} again"))
            .await?;
        self.line.site.engine.image(image).await?.ok_or_else(|| Error::NoSuchImage {
            image: image.to_owned(),
            message: "it was pulled, and is not there".to_owned(),
        })
    }

    /// An image that a user has handed in, by its name or its id.
    async fn handed_in(
        &self,
        image: &str,
        tell: &(impl Fn(String) + Sync),
    ) -> Result<Option<ImageFacts>, Error> {
        let unreachable = |message: String| Error::Unreachable { message };
        let connection = self.line.link.connection().await;
        let mut client = AgentsClient::new(connection.channel);
        let request = v1::FetchImageRequest { image: image.to_owned() };
        let asked = tokio::time::timeout(ASK, client.fetch_image(request)).await;
        let mut pieces = match asked {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) if status.code() == Code::NotFound => return Ok(None),
            Ok(Err(status)) => {
                return Err(unreachable(format!("ask for image {image}: {}", status.message())));
            }
            Err(_) => {
                return Err(unreachable(format!("the coordinator did not say whether it has image {image}")));
            }
        };
        let broken =
            |status: tonic::Status| unreachable(format!("image {image} broke off: {}", status.message()));
        let head = pieces.message().await.map_err(broken)?;
        let Some(v1::fetch_image_reply::Kind::Image(head)) = head.and_then(|head| head.kind) else {
            return Err(unreachable(format!("the coordinator sent image {image} without its head")));
        };
        if !self.line.site.offer.images.allow_id(&head.id) {
            // Whoever handed it in could call it anything.
            return Ok(None);
        }
        info!(image, image.id = head.id, "loading an image that was handed in");
        let sizes = bt_model::resources::ByteSize;
        let (mut seen, mut told) = (0, 0);
        let (progress, mut changes) = watch::channel(0_u64);
        let data = pieces
            .map_err(|status| std::io::Error::other(status.message().to_owned()))
            .try_filter_map(|piece| async move {
                Ok(match piece.kind {
                    Some(v1::fetch_image_reply::Kind::Data(data)) => Some(data),
                    _ => None,
                })
            })
            .inspect_ok(move |data| {
                seen += data.len() as u64;
                progress.send_replace(seen);
            })
            .boxed();
        let (data, refusal) = archive::only(&head.id, data);
        let loading = self.line.site.engine.load(image, data);
        tokio::pin!(loading);
        loop {
            tokio::select! {
                loaded = &mut loading => match (loaded, refusal.why()) {
                    (Ok(()), _) => break,
                    (Err(_), Some(why)) => {
                        let message = format!("the pushed archive is refused: {why}");
                        return Err(Error::NoSuchImage { image: image.to_owned(), message });
                    }
                    (Err(error), None) => return Err(error),
                },
                Ok(()) = changes.changed() => {
                    let seen = *changes.borrow_and_update();
                    if seen - told > 4 << 20 {
                        told = seen;
                        tell(format!("loading the image {image}: {} of {}", sizes(seen), sizes(head.size)));
                    }
                }
            }
        }
        let found = self.line.site.engine.image(&head.id).await?;
        match &found {
            None => warn!(image, "the archive that was pushed as {image} holds something else"),
            // So that people find it; what bears the name here keeps it.
            Some(_) if !is_id(image) && self.line.site.engine.image(image).await?.is_none() => {
                if let Err(error) = self.line.site.engine.tag(&head.id, image).await {
                    warn!(image, %error, "the image is here without its name");
                }
            }
            Some(_) => {}
        }
        Ok(found)
    }
}

/// Waits until nobody else gets the image, and says meanwhile how far he is.
async fn wait_for_turn<'g>(
    getting: &'g Getting,
    note: &(impl Fn(String) + Sync),
) -> tokio::sync::MutexGuard<'g, Option<Got>> {
    let mut changes = getting.progress.subscribe();
    if !changes.borrow().is_empty() {
        changes.mark_changed();
    }
    let turn = getting.turn.lock();
    tokio::pin!(turn);
    loop {
        tokio::select! {
            turn = &mut turn => return turn,
            Ok(()) = changes.changed() => note(changes.borrow_and_update().clone()),
        }
    }
}

/// How often a pull is tried again that failed for a reason that may pass.
pub(crate) fn patience() -> ExponentialBuilder {
    ExponentialBuilder::default().with_min_delay(PULL_PAUSE).with_max_times(PULL_RETRIES).with_jitter()
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

pub(crate) fn is_id(image: &str) -> bool {
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
        assert_eq!(repository("reg:5000/a:1@sha256:0"), "reg:5000/a");
    }
}
