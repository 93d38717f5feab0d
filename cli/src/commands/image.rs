//! `btctl image`: images without a registry, and what is in one.

mod alias;
mod archive;
#[cfg(target_os = "linux")]
mod inspect;
mod source;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backon::Retryable;
use bt_documents as documents;
use bt_model::alias::name_of as alias_name;
use bt_proto::v1::{self, push_image_request};
use indicatif::ProgressBar;
use tokio::sync::mpsc;

use self::archive::{ArchivePiece, Layer, LocalArchive};
use self::source::ImageSource;
use crate::batch::BatchOutcome;
use crate::client::{Client, waits};
use crate::error::Error;
use crate::output::{Cell, Column, Json, ListArgs, Row, View, say, terminal, words};
use crate::settings::Settings;

/// How often a push is made again that breaks off.
const TRIES: usize = 5;

/// Push images that are in no registry, and show them.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Image {
    /// Push an image of this machine: each agent that needs it loads it once from the coordinator. Layers that another
    /// pushed image has are not sent again.
    #[command(
        after_help = "Examples:\n  btctl image push sma-cross:1\n  docker save -o image.tar sma-cross:1\n  \
                      btctl image push --file image.tar sma-cross:1"
    )]
    Push(Push),
    /// List the images that were pushed.
    Ls(Ls),
    /// Remove an image that was pushed, or an alias (alias://NAME). Agents that have an image keep it.
    Rm(Rm),
    /// Show an image of this machine, and what to improve in it.
    #[cfg(target_os = "linux")]
    Inspect(inspect::Inspect),
    /// Have an alias stand for an image from now on. A manifest names it by `image: alias://NAME`, and each sweep runs what the
    /// alias stands for when it is submitted.
    #[command(after_help = alias::EXAMPLES)]
    Promote(alias::Promote),
    /// Have an alias stand for an image that it stood for before: without --to for the latest one that it was not taken back from.
    #[command(
        after_help = "Examples:\n  btctl image rollback prod/strategy\n  btctl image rollback prod/strategy --to 3\n  btctl \
                      image rollback prod/strategy --to sha256:9f86d081"
    )]
    Rollback(alias::Rollback),
    /// List all that an alias has stood for, the latest first.
    History(alias::History),
    /// List what each alias stands for.
    Aliases(Ls),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Push {
    /// Names of images, here and in manifests.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Take them from an archive that `docker save` or `podman save` wrote; no container engine is needed then.
    #[arg(long, value_name = "TAR")]
    file: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    output: ListArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Rm {
    /// Names or ids of images, or alias://NAME.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Image {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        match self {
            Self::Push(push) => push.run(settings).await,
            Self::Ls(ls) => ls.run(settings).await,
            Self::Rm(Rm { images }) => {
                let client = Client::connect(settings).await?;
                let mut batch = BatchOutcome::of_named(images.len());
                for image in images {
                    let removed = match alias_name(&image) {
                        Some(alias) => alias::remove(&client, alias).await,
                        None => client.remove_image(&image).await,
                    };
                    if batch.note(&image, removed)?.is_some() {
                        say(&format!("{image}: removed"));
                    }
                }
                batch.finish()
            }
            #[cfg(target_os = "linux")]
            Self::Inspect(inspect) => inspect.run(settings).await,
            Self::Promote(promote) => promote.run(settings).await,
            Self::Rollback(rollback) => rollback.run(settings).await,
            Self::History(history) => history.run(settings).await,
            Self::Aliases(Ls { output }) => alias::list(settings, &output).await,
        }
    }
}

impl Push {
    async fn run(self, settings: &Settings) -> Result<(), Error> {
        let mut batch = BatchOutcome::of_named(self.images.len());
        for image in &self.images {
            batch.note(image, push(image, self.file.as_deref(), settings).await)?;
        }
        batch.finish()
    }
}

async fn push(name: &str, file: Option<&Path>, settings: &Settings) -> Result<(), Error> {
    let source = match file {
        Some(path) => ImageSource::open(path, name)?,
        None => ImageSource::of_engine(name).await?,
    };
    let client = Client::connect(settings).await?;
    let head = v1::Image {
        id: source.id().to_owned(),
        name: name.to_owned(),
        pushed_by: settings.owner.value.clone(),
        ..v1::Image::default()
    };
    let bar = match terminal::is_stderr() {
        true => ProgressBar::new_spinner(),
        false => ProgressBar::hidden(),
    };
    let is_known = client.images().await?.into_iter().any(|known| known.id == head.id);
    let archive = match is_known {
        true => None,
        false => {
            let archive = Arc::new(source.archive().await?);
            let read = archive.clone();
            let layers = in_thread(move || read.layers()).await?;
            Some((archive, Arc::new(layers)))
        }
    };
    // Layers that have come stay, so that a push that breaks off goes on with the others.
    let push = || send(&client, head.clone(), archive.clone(), &bar);
    let pushed = push.retry(waits(TRIES)).when(Error::may_pass).await?;
    bar.finish_and_clear();
    let image = pushed.image.unwrap_or_default();
    let became = match (pushed.existed, bar.position()) {
        (true, _) => "was pushed before".to_owned(),
        (false, sent) if sent < image.size => format!("is pushed, {} of it new", words::size(sent)),
        (false, _) => "is pushed".to_owned(),
    };
    say(&format!("{} ({}): it {became}, {}", image.name, image.id, words::size(image.size)));
    Ok(())
}

/// Sends an image, with what is missing of its archive. The bar counts the bytes of that.
async fn send(
    client: &Client,
    head: v1::Image,
    archive: Option<(Arc<LocalArchive>, Arc<Vec<Layer>>)>,
    bar: &ProgressBar,
) -> Result<v1::PushImageReply, Error> {
    let missing = match &archive {
        None => Some(Vec::new()),
        Some((_, layers)) => client.missing_layers(layers.iter().map(v1::Layer::from).collect()).await?,
    };
    let (sender, receiver) = mpsc::channel(4);
    let message = |kind| v1::PushImageRequest { kind: Some(kind) };
    let sending = async move {
        if sender.send(message(push_image_request::Kind::Image(head))).await.is_err() {
            return Ok(());
        }
        let Some((archive, layers)) = archive else { return Ok(()) };
        let (pieces, mut taken) = mpsc::channel(4);
        let reading = in_thread(move || match missing {
            Some(missing) => archive.send(&layers, &missing.into_iter().collect(), &pieces),
            // A coordinator of an earlier version takes it as one.
            None => archive.send(&[], &HashSet::new(), &pieces),
        });
        let passing_on = async {
            while let Some(piece) = taken.recv().await {
                let kind = match piece {
                    ArchivePiece::Layer(layer) => push_image_request::Kind::Layer(layer),
                    ArchivePiece::Data(data) => {
                        bar.inc(data.len() as u64);
                        bar.set_message(format!("{} sent", words::size(bar.position())));
                        push_image_request::Kind::Data(data)
                    }
                };
                // The coordinator has said why, if it has hung up.
                if sender.send(message(kind)).await.is_err() {
                    taken.close();
                }
            }
            drop(sender);
        };
        tokio::join!(reading, passing_on).0
    };
    let (read, pushed) = tokio::join!(sending, client.push_image(receiver));
    // What could not be read here explains what the coordinator says of it.
    read?;
    pushed.map_err(Error::broken_off)
}

/// Runs work on files in a thread where it blocks no other task.
async fn in_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::Failed(error.to_string())))
}

impl Ls {
    async fn run(self, settings: &Settings) -> Result<(), Error> {
        let images = Client::connect(settings).await?.images().await?;
        if images.is_empty() {
            say("no image was pushed; btctl image push IMAGE pushes one");
        }
        let row = |image: v1::Image| {
            let pushed = words::instant(image.pushed.as_ref())?;
            Ok::<_, Error>(Row {
                cells: vec![
                    Cell::text(&image.name),
                    Cell::text(&image.id),
                    Cell::Bytes(image.size),
                    Cell::text(&image.pushed_by),
                    Cell::time(pushed),
                ],
                json: Json::of(&documents::Image {
                    name: image.name.clone(),
                    id: image.id.clone(),
                    size: image.size,
                    pushed_by: image.pushed_by.clone(),
                    pushed,
                })?,
                name: image.name,
            })
        };
        let columns = ["name", "id", "size", "pushed_by", "pushed"].map(Column::always).into();
        let rows = images.into_iter().map(row).collect::<Result<_, _>>()?;
        View { columns, rows }.print(&self.output)
    }
}
