//! `btctl results inspect`: what a pickle would import and run, without loading it.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use bt_documents::{InspectedPickle, PickledName};
use bt_pickles::Inspection;
use bt_proto::v1;

use super::content::{DownloadError, FileContent};
use crate::client::Client;
use crate::error::Error;
use crate::output::{Cell, Column, Json, ListArgs, OutputFormat, Row, View, print_json, say, words};
use crate::settings::Settings;
use crate::target::Target;

/// Pieces of a file that wait to be looked at.
const AHEAD: usize = 4;

const EXAMPLES: &str = "\
Examples:
  btctl results inspect sma-cross/17/stats.pkl
  btctl results inspect sma-cross/17/stats.pkl -o json
  btctl results inspect --file ./from-somebody.pkl

\"usual\" are what Python, numpy and pandas make data of; \"dangerous\" is what data needs nothing of, such as os.system. A \
pickle is followed by its opcodes, as Python's pickletools does: nothing in it runs.";

/// Look into a pickle without loading it: its protocol, its size, and what loading it would import and call.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Inspect {
    /// Published file, by its sweep, its job and its path.
    #[arg(value_name = "SWEEP/JOB/PATH", required_unless_present = "file")]
    result: Option<String>,
    /// File on this machine instead.
    #[arg(long, value_name = "FILE", conflicts_with = "result")]
    file: Option<PathBuf>,
    #[command(flatten)]
    output: ListArgs,
}

impl Inspect {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let (name, found) = match (&self.result, &self.file) {
            (_, Some(path)) => {
                let name = path.display().to_string();
                let file = std::fs::File::open(path);
                let file = file.map_err(|error| Error::Failed(format!("{name}: {error}")))?;
                let found = looking(&name, file).await?;
                (name, found)
            }
            (Some(result), None) => (result.clone(), published(settings, result).await?),
            (None, None) => {
                return Err(Error::Usage("name a file: SWEEP/JOB/PATH, or --file FILE".to_owned()));
            }
        };
        self.print(&name, found)
    }

    fn print(&self, name: &str, found: Inspection) -> Result<(), Error> {
        let document = document(found);
        if self.output.format() == OutputFormat::Json {
            return print_json(&Json::of(&document)?);
        }
        let InspectedPickle { protocol, pickles, bytes, payload, longest, .. } = document;
        let several = if pickles > 1 { format!("{pickles} pickles, ") } else { String::new() };
        say(&format!(
            "{name}: {several}protocol {protocol}, {}, of which {} are texts and arrays, the longest {}",
            words::size(bytes),
            words::size(payload),
            words::size(longest)
        ));
        let counts = [
            (document.computed_calls, "calls of what the pickle computes itself; nobody knows of what"),
            (document.unnamed, "names that it computes itself; nobody knows which"),
            (document.elsewhere, "objects that are kept elsewhere, or numbered"),
        ];
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            say(&format!("{count} {what}"));
        }
        if document.names.is_empty() {
            say("loading it imports nothing: it is plain data");
        }
        let row = |name: &PickledName| Row {
            cells: vec![
                Cell::text(&name.name),
                Cell::text(&name.standing),
                Cell::number(name.used),
                Cell::number(name.called),
            ],
            json: Json::none(),
            name: name.name.clone(),
        };
        let columns = ["name", "standing", "used", "called"].map(Column::always).into();
        View { columns, rows: document.names.iter().map(row).collect() }.print(&self.output)
    }
}

/// Looks into what is read.
async fn looking(name: &str, bytes: impl Read + Send + 'static) -> Result<Inspection, Error> {
    let found = tokio::task::spawn_blocking(move || bt_pickles::inspect(bytes)).await;
    let found = found.map_err(|error| Error::Failed(format!("{name}: looking into it failed: {error}")))?;
    found.map_err(|error| Error::Failed(format!("{name}: {error}")))
}

/// Looks into a published file as it comes.
async fn published(settings: &Settings, result: &str) -> Result<Inspection, Error> {
    let request = request(result)?;
    let client = Client::connect(settings).await?;
    let mut content = FileContent::new(result.to_owned(), client.download(request).await?);
    let (sender, receiver) = sync_channel(AHEAD);
    // The reader begins first: pieces wait for it once some are ahead.
    let (found, ended) = tokio::join!(looking(result, Pieces::new(receiver)), send(&mut content, sender));
    // A file that broke off is no broken pickle.
    ended.and(found)
}

fn document(found: Inspection) -> InspectedPickle {
    let Inspection {
        protocol,
        pickles,
        bytes,
        opcodes,
        payload,
        longest,
        names,
        computed_calls,
        elsewhere,
        unnamed,
    } = found;
    let names = names.into_iter().map(|name| PickledName {
        standing: name.standing.name().to_owned(),
        name: name.name,
        used: name.used,
        called: name.called,
    });
    InspectedPickle {
        protocol,
        pickles,
        bytes,
        opcodes,
        payload,
        longest,
        names: names.collect(),
        computed_calls,
        elsewhere,
        unnamed,
    }
}

/// `sma-cross/17/stats.pkl`.
fn request(result: &str) -> Result<v1::DownloadRequest, Error> {
    let wrong = || {
        Error::Usage(format!(
            "{result:?} is not a published file; write SWEEP/JOB/PATH, such as sma-cross/17/stats.pkl \
             (btctl results ls SWEEP/JOB lists the paths)"
        ))
    };
    let mut parts = result.splitn(3, '/');
    let (Some(sweep), Some(job), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(wrong());
    };
    let target: Target = format!("{sweep}/{job}").parse().map_err(Error::Usage)?;
    match (target.job, path.is_empty()) {
        (Some(job), false) => Ok(v1::DownloadRequest {
            sweep: target.sweep,
            job,
            path: path.to_owned(),
            ..v1::DownloadRequest::default()
        }),
        _ => Err(wrong()),
    }
}

/// Hands pieces on until the end, or until nobody wants more.
async fn send(content: &mut FileContent, sender: SyncSender<Vec<u8>>) -> Result<(), Error> {
    loop {
        match content.next().await {
            Ok(Some(piece)) => {
                if tokio::task::block_in_place(|| sender.send(piece)).is_err() {
                    return Ok(());
                }
            }
            Ok(None) => return Ok(()),
            Err(DownloadError::Disk(error)) => return Err(error),
            Err(DownloadError::Coordinator(status)) => return Err((*status).into()),
        }
    }
}

/// Pieces as one stream of bytes.
struct Pieces {
    receiver: Receiver<Vec<u8>>,
    piece: io::Cursor<Vec<u8>>,
}

impl Pieces {
    fn new(receiver: Receiver<Vec<u8>>) -> Self {
        Self { receiver, piece: io::Cursor::default() }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.piece.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match self.receiver.recv() {
                Ok(piece) => self.piece = io::Cursor::new(piece),
                Err(_) => return Ok(0),
            }
        }
    }
}
