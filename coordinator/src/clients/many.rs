//! Many small files of results in one answer, several in a message: a call for each would take longer than the file.

use bt_proto::v1;
use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Clients;
use crate::queue::StoredFile;
use crate::results::{has_jobs, not_expired};
use crate::rpc::{Answers, status};

/// Files that a request may name.
const MOST: usize = 1_000;
/// Bytes in the store of a file that is sent so.
const SMALL: u64 = 256 << 10;
/// Bytes of content in a message; a client may have so many messages waiting for it.
const MESSAGE: usize = 1 << 20;
const MESSAGES: usize = 2;
/// Files that are read at once.
const AT_ONCE: usize = 4;

impl Clients {
    /// Sends the small ones of these files. One that is missing or can't be read is left out: its client asks for it alone,
    /// and hears why.
    pub(super) async fn small_outputs(
        &self,
        request: v1::DownloadManyRequest,
    ) -> Result<Answers<v1::DownloadManyReply>, Status> {
        let sweep = self.find(&request.sweep).await?;
        not_expired(&sweep)?;
        if request.outputs.len() > MOST {
            return Err(Status::invalid_argument(format!(
                "{} files are asked for at once; {MOST} are the most",
                request.outputs.len()
            )));
        }
        let wanted: Vec<_> =
            request.outputs.iter().map(|output| (output.job, output.path.as_str())).collect();
        has_jobs(&sweep, &wanted.iter().map(|(job, _)| *job).collect::<Vec<_>>())?;
        let found = self.queue.published_files(sweep.id, &wanted).await.map_err(status::queue)?;
        let (sender, receiver) = mpsc::channel(MESSAGES);
        let (clients, answers) = (self.clone(), sender.clone());
        self.answer(sender, async move { clients.send_small(found, &answers).await });
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }

    async fn send_small(
        &self,
        files: Vec<(usize, StoredFile)>,
        answers: &mpsc::Sender<Result<v1::DownloadManyReply, Status>>,
    ) -> Result<(), Status> {
        let read = |(number, file): (usize, StoredFile)| async move {
            let data = self.small_content(&file).await?;
            Ok::<_, Status>(data.map(|data| v1::SmallOutput {
                number: number as u32,
                data,
                encoding: v1::Encoding::from(file.encoding).into(),
            }))
        };
        let mut contents = std::pin::pin!(
            stream::iter(files.into_iter().map(|file| Ok::<_, Status>(read(file)))).try_buffered(AT_ONCE)
        );
        let (mut outputs, mut bytes) = (Vec::new(), 0);
        while let Some(output) = contents.try_next().await? {
            let Some(output) = output else { continue };
            if bytes + output.data.len() > MESSAGE {
                let full = v1::DownloadManyReply { outputs: std::mem::take(&mut outputs) };
                bytes = 0;
                if answers.send(Ok(full)).await.is_err() {
                    return Ok(());
                }
            }
            bytes += output.data.len();
            outputs.push(output);
        }
        // The last one: if its reader has left, nothing is left to do.
        answers.send(Ok(v1::DownloadManyReply { outputs })).await.ok();
        Ok(())
    }

    async fn small_content(&self, file: &StoredFile) -> Result<Option<Bytes>, Status> {
        if file.size > SMALL {
            return Ok(None);
        }
        match self.store.read_small(&file.place, SMALL).await {
            Ok(data) => Ok(data),
            Err(error) if error.is_one_files() => Ok(None),
            Err(error) => Err(status::store(error)),
        }
    }
}
