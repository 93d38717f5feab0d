//! A published result in a container's results directory, for a user who opens it in its image. Every file is what was
//! published, by its SHA-256, before the container starts; nothing here looks into one.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail, ensure};
use bt_proto::v1::agents_client::AgentsClient;
use bt_proto::v1::{self, fetch_result_reply::Kind};
use bt_store::Decoder;
use sha2::{Digest, Sha256};

use crate::line::Line;
use crate::record::assignment::Assignment;

/// A file that is being written.
struct OpenOutput {
    file: v1::OutputFile,
    path: PathBuf,
    out: BufWriter<File>,
    hash: Sha256,
    size: u64,
    /// None where it comes as it is.
    decoder: Option<Decoder>,
}

/// Fetches the result of the assignment's job into `dir`, which is empty; the files become `owner`'s. Says how many there
/// are, and their size together.
pub(crate) async fn fetch(
    line: &Line,
    assignment: &Assignment,
    dir: &Path,
    owner: Option<(u32, u32)>,
) -> anyhow::Result<(usize, u64)> {
    let connection = line.link.connection().await;
    let request = v1::FetchResultRequest {
        agent_id: line.site.identity.agent.to_string(),
        session: connection.session,
        sweep: assignment.sweep.to_string(),
        job: assignment.job,
    };
    let told = |status: tonic::Status| anyhow::anyhow!("the result can't be fetched: {}", status.message());
    let mut pieces =
        AgentsClient::new(connection.channel).fetch_result(request).await.map_err(told)?.into_inner();
    let mut open: Option<OpenOutput> = None;
    let (mut files, mut bytes) = (0, 0);
    while let Some(message) = pieces.message().await.map_err(told)? {
        let encoding = message.encoding();
        match message.kind {
            Some(Kind::File(file)) => {
                if let Some(done) = open.take() {
                    done.close(owner)?;
                }
                line.site.has_room_for(file.size)?;
                (files, bytes) = (files + 1, bytes + file.size);
                open = Some(OpenOutput::create(dir, file, owner)?);
            }
            Some(Kind::Data(data)) => match &mut open {
                Some(open) => open.take(encoding, &data)?,
                None => bail!("the coordinator sent a file without its name"),
            },
            None => {}
        }
    }
    if let Some(done) = open {
        done.close(owner)?;
    }
    Ok((files, bytes))
}

impl OpenOutput {
    fn create(dir: &Path, file: v1::OutputFile, owner: Option<(u32, u32)>) -> anyhow::Result<Self> {
        let relative = Path::new(&file.path);
        let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        ensure!(
            !file.path.is_empty() && relative.components().all(is_plain),
            "{:?} is not a path of an output",
            file.path
        );
        let mut parent = dir.to_owned();
        for part in relative.parent().into_iter().flat_map(Path::components) {
            parent.push(part);
            if !parent.exists() {
                fs::create_dir(&parent).with_context(|| format!("make the directory of {}", file.path))?;
                give(&parent, owner)?;
            }
        }
        let path = dir.join(relative);
        let out = File::create_new(&path).with_context(|| format!("write {}", file.path))?;
        Ok(Self { file, path, out: BufWriter::new(out), hash: Sha256::new(), size: 0, decoder: None })
    }

    /// Takes a piece as it comes; the first says how it is encoded.
    fn take(&mut self, encoding: v1::Encoding, mut data: &[u8]) -> anyhow::Result<()> {
        let damaged = |path: &str| format!("{path} is damaged in the store");
        if encoding == v1::Encoding::Zstd && self.decoder.is_none() {
            self.decoder = Some(Decoder::new().context("read a compressed file")?);
        }
        let Some(mut decoder) = self.decoder.take() else { return self.write(data) };
        while let Some(piece) = decoder.decode(&mut data).with_context(|| damaged(&self.file.path))? {
            self.write(&piece)?;
        }
        self.decoder = Some(decoder);
        Ok(())
    }

    fn write(&mut self, data: &[u8]) -> anyhow::Result<()> {
        self.size += data.len() as u64;
        ensure!(self.size <= self.file.size, "{} is damaged in the store: it is too long", self.file.path);
        self.hash.update(data);
        self.out.write_all(data).with_context(|| format!("write {}", self.file.path))
    }

    fn close(mut self, owner: Option<(u32, u32)>) -> anyhow::Result<()> {
        if let Some(decoder) = self.decoder.take() {
            decoder.finish().with_context(|| format!("{} is damaged in the store", self.file.path))?;
        }
        self.out.flush().with_context(|| format!("write {}", self.file.path))?;
        let is_whole = self.size == self.file.size && self.hash.finalize()[..] == self.file.sha256[..];
        ensure!(is_whole, "{} is damaged in the store: it is not what was published", self.file.path);
        give(&self.path, owner)
    }
}

fn give(path: &Path, owner: Option<(u32, u32)>) -> anyhow::Result<()> {
    let Some((uid, gid)) = owner else { return Ok(()) };
    std::os::unix::fs::chown(path, Some(uid), Some(gid))
        .with_context(|| format!("give {} away", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &[u8]) -> v1::OutputFile {
        v1::OutputFile {
            path: path.into(),
            size: content.len() as u64,
            sha256: Sha256::digest(content).to_vec(),
            ..v1::OutputFile::default()
        }
    }

    fn written(dir: &Path, file: v1::OutputFile, content: &[u8]) -> Result<(), String> {
        let write = || {
            let mut open = OpenOutput::create(dir, file, None)?;
            open.write(content)?;
            open.close(None)
        };
        write().map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn only_what_was_published_is_there_and_only_below_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert_eq!(written(root, file("a/b/x.pkl", b"x"), b"x"), Ok(()));
        assert_eq!(written(root, file("a/y", b"y"), b"y"), Ok(()));
        assert_eq!(fs::read(root.join("a/b/x.pkl")).unwrap(), b"x");
        for path in ["../x", "/etc/x", "a/../../x", ""] {
            let told = written(root, file(path, b"x"), b"x").unwrap_err();
            assert!(told.contains("not a path of an output"), "{path}: {told}");
        }
        assert!(written(root, file("short", b"abc"), b"ab").unwrap_err().contains("not what was published"));
        assert!(written(root, file("long", b"abc"), b"abcd").unwrap_err().contains("too long"));
        assert!(written(root, file("other", b"abc"), b"abd").unwrap_err().contains("not what was published"));
    }
}
