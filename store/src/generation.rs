//! Which queue a store belongs to, and how far the two have come together: the names of empty-handed files in a directory
//! of the store count up, and each holds the queue's id. The highest counts. None is ever replaced, so that a coordinator
//! that is late changes nothing.

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::ObjectStoreExt;
use uuid::Uuid;

use crate::{Error, Store};

/// The directory's name.
pub(crate) const GENERATIONS: &str = ".btctl-generations";
/// Digits of a file's name.
const DIGITS: usize = 20;
/// The latest files that are kept; coordinators that start at the same time write theirs in any order.
const KEPT: u64 = 8;

/// How far a store has come, and with which queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    pub number: u64,
    pub queue: Uuid,
}

impl Store {
    /// The latest generation that the store has seen; none of a store that no queue has used.
    pub async fn generation(&self) -> Result<Option<Generation>, Error> {
        let Some(number) = self.generations().await?.into_iter().max() else { return Ok(None) };
        let path = file(number);
        let at = self.parse(&path)?;
        let found = self.objects.get(&at).await.map_err(|error| self.error(&path, error))?;
        let data = found.bytes().await.map_err(|error| self.error(&path, error))?;
        let queue = String::from_utf8_lossy(&data).trim().parse().map_err(|_| Error::Access {
            path,
            why: "it holds no queue's id; remove it if it is not btctl's".to_owned(),
        })?;
        Ok(Some(Generation { number, queue }))
    }

    /// Notes a generation, and removes those that count no more.
    pub async fn note_generation(&self, generation: Generation) -> Result<(), Error> {
        let Generation { number, queue } = generation;
        let written = self.create(&file(number), Bytes::from(format!("{queue}\n"))).await?;
        if written.path != file(number) {
            self.remove(&written.path).await?;
            let why = "another queue has written it".to_owned();
            return Err(Error::Taken { path: file(number), why });
        }
        for old in self.generations().await?.into_iter().filter(|old| old + KEPT < number) {
            self.remove(&file(old)).await?;
        }
        Ok(())
    }

    async fn generations(&self) -> Result<Vec<u64>, Error> {
        let dir = object_store::path::Path::from(GENERATIONS);
        let listed = self.objects.list(Some(&dir)).try_filter_map(|file| {
            let number = file.location.filename().filter(|name| name.len() == DIGITS);
            std::future::ready(Ok(number.and_then(|name| name.parse::<u64>().ok())))
        });
        match listed.try_collect().await {
            Ok(numbers) => Ok(numbers),
            Err(error) => match self.error(GENERATIONS, error) {
                Error::NotFound { .. } => Ok(Vec::new()),
                error => Err(error),
            },
        }
    }
}

fn file(number: u64) -> String {
    format!("{GENERATIONS}/{number:0DIGITS$}")
}
