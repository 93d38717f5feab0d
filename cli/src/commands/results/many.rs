//! Fetches many small files in one call. A file that does not come whole is fetched alone afterwards: that call says what is
//! wrong with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use bt_proto::v1;
use bt_store::Decoder;
use sha2::{Digest, Sha256};
use tonic::Status;

use super::File;
use super::fetch::Fetch;
use crate::error::is_broken_off;
use crate::output::words;

/// Bytes of a file that is fetched so; a coordinator leaves out what takes more in the store.
const SMALL: u64 = 256 << 10;
/// Files, and bytes, that are asked for at once; a coordinator takes 1,000 files at most.
const FILES: usize = 500;
const BYTES: u64 = 16 << 20;

/// Files that are asked for together.
type Request<'f> = Vec<&'f File>;

/// The small published ones of these files in requests, and those that are to be fetched alone.
pub(super) fn split<'f>(files: &[&'f File]) -> (Vec<Request<'f>>, Vec<&'f File>) {
    let is_small = |file: &&&File| file.sha256.is_some() && file.size <= SMALL;
    let (small, alone): (Vec<&File>, Vec<&File>) = files.iter().partition(|file| is_small(file));
    let mut requests: Vec<Request> = Vec::new();
    let mut bytes = 0;
    for file in small {
        match requests.last_mut() {
            Some(request) if request.len() < FILES && bytes + file.size <= BYTES => request.push(file),
            _ => {
                requests.push(vec![file]);
                bytes = 0;
            }
        }
        bytes += file.size;
    }
    (requests, alone)
}

/// A file that was received whole, and where it goes.
struct Whole {
    part: PathBuf,
    target: PathBuf,
    content: Vec<u8>,
}

impl Fetch<'_> {
    /// Fetches these files, and returns those that did not come. A connection that breaks off is made anew as long as
    /// something comes over it.
    pub(super) async fn many<'f>(&self, request: Request<'f>) -> Vec<&'f File> {
        let mut alone = Vec::new();
        let mut left = request;
        while !left.is_empty() {
            let asked = self.client.asked();
            let mut came = BTreeMap::new();
            let ended = self.take(&left, &mut came).await;
            let before = left.len();
            let mut rest = Vec::new();
            for (number, file) in left.into_iter().enumerate() {
                match came.get(&number) {
                    Some(true) => {}
                    Some(false) => alone.push(file),
                    None => rest.push(file),
                }
            }
            left = rest;
            match ended {
                Err(status) if is_broken_off(&status) && left.len() < before => self.client.leave(asked),
                // The others are not to be had this way: one asked for alone says why, or comes.
                _ => alone.append(&mut left),
            }
        }
        alone
    }

    /// Takes what comes of these files, and notes of each whether it is in its place now.
    async fn take(&self, files: &[&File], came: &mut BTreeMap<usize, bool>) -> Result<(), Status> {
        let outputs =
            files.iter().map(|file| v1::OutputName { job: file.job, path: file.path.clone() }).collect();
        let request = v1::DownloadManyRequest { sweep: self.sweep.to_owned(), outputs };
        let mut replies = self.client.download_many(request).await?;
        while let Some(reply) = replies.message().await? {
            let mut wholes = Vec::new();
            for output in reply.outputs {
                let number = output.number as usize;
                let Some(file) = files.get(number) else { continue };
                came.insert(number, false);
                if let Some(whole) = self.whole(file, output) {
                    wholes.push((number, whole));
                }
            }
            let stored = tokio::task::spawn_blocking(move || {
                let numbers = wholes.into_iter().filter(|(_, whole)| whole.store());
                numbers.map(|(number, _)| number).collect::<Vec<_>>()
            });
            for number in stored.await.unwrap_or_default() {
                came.insert(number, true);
                self.bar.inc(files[number].size);
            }
        }
        Ok(())
    }

    /// The file, if this is it.
    fn whole(&self, file: &File, output: v1::SmallOutput) -> Option<Whole> {
        let content = match output.encoding() {
            v1::Encoding::Zstd => decoded(&output.data, file.size)?,
            _ => output.data.into(),
        };
        let sha256 = words::hex(&Sha256::digest(&content));
        if file.sha256.as_ref() != Some(&sha256) {
            return None;
        }
        Some(Whole { part: self.place.part(file), target: self.place.of(file).ok()?, content })
    }
}

/// What was encoded, if it has no more bytes than these.
fn decoded(mut data: &[u8], most: u64) -> Option<Vec<u8>> {
    let mut decoder = Decoder::new().ok()?;
    let mut content = Vec::new();
    while let Some(piece) = decoder.decode(&mut data).ok()? {
        content.extend(piece);
        if content.len() as u64 > most {
            return None;
        }
    }
    decoder.finish().ok()?;
    Some(content)
}

impl Whole {
    /// Writes it beside its place, and gives it its name. True if all went well.
    fn store(&self) -> bool {
        let Some(parent) = self.target.parent() else { return false };
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&self.part, &self.content))
            .and_then(|()| fs::rename(&self.part, &self.target))
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_are_asked_for_in_requests_of_bounded_size() {
        let file = |size, sha256: Option<&str>| File {
            job: 0,
            attempt: 1,
            path: "x".to_owned(),
            size,
            compressed: false,
            sha256: sha256.map(str::to_owned),
            state: None,
        };
        let mut files = vec![file(0, Some("")); FILES + 1];
        files.extend(vec![file(SMALL, Some("")); (BYTES / SMALL) as usize + 1]);
        files.extend([file(SMALL + 1, Some("")), file(1, None)]);
        let (requests, alone) = split(&files.iter().collect::<Vec<_>>());
        let sizes: Vec<_> = requests.iter().map(Vec::len).collect();
        assert_eq!(sizes, [FILES, 1 + (BYTES / SMALL) as usize, 1]);
        assert_eq!(alone.iter().map(|file| file.size).collect::<Vec<_>>(), [SMALL + 1, 1]);
    }
}
