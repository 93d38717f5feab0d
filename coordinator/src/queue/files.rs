//! The files of results: what each is, and how it is stored.

use std::collections::HashMap;

use bt_model::encoding::Encoding;
use bt_model::id::SweepId;
use bt_model::layout::AttemptPlace;
use sqlx::query_file;
use uuid::Uuid;

use super::connections::Connection;
use super::row::{Named, Pg, sha256, signed, unsigned};
use super::{Error, Queue};

/// A file of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublishedFile {
    /// Relative to the results directory.
    pub(crate) path: String,
    /// Bytes, of the file itself.
    pub(crate) size: u64,
    pub(crate) sha256: [u8; 32],
    pub(crate) encoding: Encoding,
    /// Bytes in the store, where it is not stored as it is.
    pub(crate) stored_size: Option<u64>,
    /// The name that it has in the attempt's directory, where that is not made of path and encoding.
    pub(crate) other_name: Option<String>,
}

impl PublishedFile {
    pub(super) fn read(
        path: String,
        size: i64,
        digest: &[u8],
        Pg(encoding): Pg<Encoding>,
        stored_size: Option<i64>,
        other_name: Option<String>,
    ) -> Result<Self, Error> {
        Ok(Self {
            path,
            size: unsigned(size)?,
            sha256: sha256(digest)?,
            encoding,
            stored_size: stored_size.map(unsigned).transpose()?,
            other_name,
        })
    }

    /// Where it stands in the attempt's directory.
    pub(crate) fn stored_as(&self) -> String {
        self.other_name.clone().unwrap_or_else(|| self.first_name())
    }

    /// The name that its path and encoding make.
    pub(crate) fn first_name(&self) -> String {
        self.encoding.stored_as(&self.path)
    }

    /// Bytes in the store.
    pub(crate) fn size_there(&self) -> u64 {
        self.stored_size.unwrap_or(self.size)
    }
}

/// A published file in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredFile {
    /// From the store's root.
    pub(crate) place: String,
    pub(crate) encoding: Encoding,
    /// Bytes there.
    pub(crate) size: u64,
    /// Bytes of the file as the job wrote it.
    pub(crate) plain_size: u64,
    /// Of the file as the job wrote it.
    pub(crate) sha256: [u8; 32],
}

impl Queue {
    /// The files of the results of these jobs, by sweep and job; `jobs` are numbers in the sweeps at the same places.
    pub(super) async fn files_of_results(
        &self,
        sweeps: &[Uuid],
        jobs: &[i32],
    ) -> Result<HashMap<(Uuid, i32), Vec<PublishedFile>>, Error> {
        let listed =
            query_file!("queries/files/files_of_results.sql", sweeps, jobs).fetch_all(&self.by_key).await?;
        let mut files: HashMap<_, Vec<_>> = HashMap::new();
        for file in listed {
            let known = PublishedFile::read(
                file.path,
                file.size,
                &file.sha256,
                file.encoding,
                file.stored_size,
                file.stored_as,
            )?;
            files.entry((file.sweep_id, file.job)).or_default().push(known);
        }
        Ok(files)
    }

    /// Where these files of a sweep's jobs stand, each with its number among those that were asked for, in their order;
    /// those that are not published are left out.
    pub(crate) async fn published_files(
        &self,
        sweep: SweepId,
        wanted: &[(u32, &str)],
    ) -> Result<Vec<(usize, StoredFile)>, Error> {
        let jobs = wanted.iter().map(|(job, _)| signed(*job)).collect::<Result<Vec<i32>, _>>()?;
        let paths: Vec<&str> = wanted.iter().map(|(_, path)| *path).collect();
        let rows = query_file!("queries/files/published_files.sql", sweep.uuid(), &jobs, &paths as _)
            .fetch_all(&self.by_key)
            .await?;
        rows.into_iter()
            .map(|row| {
                let place = AttemptPlace {
                    sweep_name: row.name,
                    sweep: SweepId::from_uuid(row.sweep_id),
                    jobs: unsigned(row.jobs)?,
                    job: unsigned(row.job)?,
                    attempt: unsigned(row.attempt)?,
                };
                let encoding = row.encoding.0;
                let stored_as = row.stored_as.unwrap_or_else(|| encoding.stored_as(&row.path));
                let size = unsigned(row.size)?;
                let number: u64 = unsigned(row.number)?;
                let file = StoredFile {
                    place: place.output(&stored_as),
                    encoding,
                    size,
                    plain_size: unsigned(row.plain_size)?,
                    sha256: sha256(&row.sha256)?,
                };
                Ok((number.saturating_sub(1) as usize, file))
            })
            .collect()
    }
}

impl Named for Encoding {
    const TYPE: &'static str = "encoding";
    const ALL: &'static [Self] = &Encoding::ALL;
    fn label(self) -> &'static str {
        self.name()
    }
}

/// The columns of `insert_result_files.sql`.
#[derive(Default)]
pub(super) struct Files {
    sweeps: Vec<Uuid>,
    jobs: Vec<i32>,
    paths: Vec<String>,
    sizes: Vec<i64>,
    hashes: Vec<Vec<u8>>,
    encodings: Vec<Pg<Encoding>>,
    stored_sizes: Vec<Option<i64>>,
    other_names: Vec<Option<String>>,
}

impl Files {
    pub(super) fn push(&mut self, sweep: Uuid, job: u32, files: &[PublishedFile]) -> Result<(), Error> {
        for file in files {
            self.sweeps.push(sweep);
            self.jobs.push(signed(job)?);
            self.paths.push(file.path.clone());
            self.sizes.push(signed(file.size)?);
            self.hashes.push(file.sha256.to_vec());
            self.encodings.push(Pg(file.encoding));
            self.stored_sizes.push(file.stored_size.map(signed).transpose()?);
            self.other_names.push(file.other_name.clone());
        }
        Ok(())
    }

    pub(super) async fn write(&self, tx: &mut Connection) -> Result<(), Error> {
        query_file!(
            "queries/files/insert_result_files.sql",
            &self.sweeps,
            &self.jobs,
            &self.paths,
            &self.sizes,
            &self.hashes,
            &self.encodings as _,
            &self.stored_sizes as _,
            &self.other_names as _,
        )
        .execute(tx)
        .await?;
        Ok(())
    }
}
