//! The jobs of a sweep, by number, without writing them all out.
//!
//! In this order: the matrix' combinations (or the rows), less `exclude`, plus `include`, those for which `where` holds,
//! of these a `sample`; all of this in each of the `windows`, the first window first. The same manifest has the same jobs in the same order for ever.

mod draw;
mod rows;
mod search;
mod sobol;
mod space;
mod spread;

use std::collections::BTreeSet;

pub use self::rows::RowCheck;
pub use self::search::Search;

use self::space::Space;
use crate::manifest::{Error, Manifest};
use crate::parameters::Parameters;

/// No more combinations than this are looked at to find the jobs among them. A `sample` looks at
/// [`MAX_JOBS`](crate::manifest::MAX_JOBS) at most.
pub const MAX_LOOKED_AT: u128 = 50_000_000;

impl Manifest {
    /// All jobs' parameters, after every check: each job that comes out of it renders.
    pub fn expand(&self) -> Result<Expansion<'_>, Error> {
        Expansion::of(self)
    }

    /// The same in steps, for a server.
    pub fn begin_expansion(&self) -> Result<Search<'_>, Error> {
        Search::of(self)
    }

    /// The parameters of a matrix's jobs by their points, without a search for the jobs among them.
    pub fn points(&self) -> Result<Points<'_>, Error> {
        Points::of(self)
    }
}

/// The jobs that a manifest fans out into, by number.
#[derive(Debug)]
pub struct Expansion<'m> {
    space: Space<'m>,
    chosen: ChosenJobs,
    /// They are numbered after the chosen jobs.
    tests: Vec<WindowTest>,
}

/// A job that tests the best of its window's training jobs, and has no parameters but the window's before these have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowTest {
    pub job: u32,
    pub window: u32,
    /// The window's training jobs, which have numbers in a row.
    pub first: u32,
    pub last: u32,
}

/// The parameters of candidates, by their index in the space: the points of a matrix.
#[derive(Debug)]
pub struct Points<'m>(Space<'m>);

impl<'m> Points<'m> {
    fn of(manifest: &'m Manifest) -> Result<Self, Error> {
        Space::of(manifest).map(Self)
    }

    pub fn get(&self, point: u64) -> Parameters {
        self.0.get(point.into())
    }

    /// The point of the test that has the parameters of a training job.
    pub fn test_of(&self, point: u64) -> Option<u64> {
        u64::try_from(self.0.test_of(point.into())).ok()
    }

    /// The points that may have these parameters; none that is left out has. Nothing where that can't be told without a
    /// look at each.
    pub fn places_of(&self, parameters: &Parameters) -> Option<Vec<u64>> {
        let places = self.0.places_of(parameters)?;
        Some(places.into_iter().filter_map(|place| u64::try_from(place).ok()).collect())
    }
}

/// Which candidates of the space are jobs.
#[derive(Debug)]
enum ChosenJobs {
    /// The first so many: all of them.
    First(u32),
    /// In rising order. Only small spaces can have very many chosen jobs, and these have small indices.
    Small(Vec<u32>),
    Large(Vec<u128>),
}

impl ChosenJobs {
    fn len(&self) -> u32 {
        match self {
            Self::First(count) => *count,
            Self::Small(indices) => indices.len() as u32,
            Self::Large(indices) => indices.len() as u32,
        }
    }

    /// The candidate that is this job.
    fn get(&self, job: u32) -> Option<u128> {
        match self {
            Self::First(count) => (job < *count).then_some(job.into()),
            Self::Small(indices) => indices.get(job as usize).map(|index| u128::from(*index)),
            Self::Large(indices) => indices.get(job as usize).copied(),
        }
    }

    /// How many jobs are candidates below this one: the first jobs, as they are in rising order.
    fn below(&self, candidate: u128) -> u32 {
        match self {
            Self::First(count) => u32::try_from(candidate).map_or(*count, |candidate| candidate.min(*count)),
            Self::Small(indices) => indices.partition_point(|index| u128::from(*index) < candidate) as u32,
            Self::Large(indices) => indices.partition_point(|index| *index < candidate) as u32,
        }
    }
}

impl<'m> Expansion<'m> {
    pub(crate) fn of(manifest: &'m Manifest) -> Result<Self, Error> {
        let mut search = Search::of(manifest)?;
        while !search.advance(u32::MAX)? {}
        Ok(search.finish())
    }

    /// How many jobs there are; at least one.
    #[expect(clippy::len_without_is_empty, reason = "an expansion is never empty")]
    pub fn len(&self) -> u32 {
        self.chosen.len() + self.tests.len() as u32
    }

    /// The jobs that wait for their windows' training, in the order of their numbers, which are the last ones.
    pub fn tests(&self) -> &[WindowTest] {
        &self.tests
    }

    /// The test that this job is.
    pub fn test(&self, job: u32) -> Option<&WindowTest> {
        self.tests.get(job.checked_sub(self.chosen.len())? as usize)
    }

    /// The parameters of one job.
    pub fn get(&self, job: u32) -> Option<Parameters> {
        self.index(job).map(|index| self.space.get(index))
    }

    /// The jobs' parameters, by number.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Parameters> + '_ {
        (0..self.len() as usize).map(|job| self.get(job as u32).unwrap_or_default())
    }

    /// True when the jobs are the matrix as it is: each one's point is its number.
    pub fn is_whole(&self) -> bool {
        !self.space.has_rows() && self.tests.is_empty() && matches!(self.chosen, ChosenJobs::First(_))
    }

    /// The jobs' points, by number; none where the parameters are rows, or a point is larger than Postgres can hold.
    pub fn points(&self) -> Option<impl Iterator<Item = u64> + '_> {
        let largest = match self.tests.is_empty() {
            true => self.index(self.len() - 1)?,
            // What a test will have lies below it.
            false => self.space.waiting_test(self.space.window_count()),
        };
        let fits = !self.space.has_rows() && i64::try_from(largest).is_ok();
        fits.then(|| (0..self.len()).filter_map(|job| self.index(job)).map(|index| index as u64))
    }

    fn index(&self, job: u32) -> Option<u128> {
        match self.test(job) {
            Some(test) => Some(self.space.waiting_test(test.window)),
            None => self.chosen.get(job),
        }
    }
}

/// All names of all of these.
fn names_of<'p>(all: impl Iterator<Item = &'p Parameters>) -> BTreeSet<&'p str> {
    all.flat_map(Parameters::names).collect()
}

#[cfg(test)]
mod tests;
