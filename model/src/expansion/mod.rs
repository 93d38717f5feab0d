//! The jobs of a sweep, by number, without writing them all out.
//!
//! In this order: the matrix' combinations (or the rows), less `exclude`, plus `include`, those for which `where` holds,
//! of these a `sample`. The same manifest has the same jobs in the same order for ever.

mod draw;
mod rows;
mod space;

use std::collections::BTreeSet;

pub use self::rows::RowCheck;

use self::draw::Draw;
use self::space::Space;
use crate::condition::Condition;
use crate::manifest::{Error, JobSource, MAX_JOBS, Manifest, effects};
use crate::parameters::{self, Parameters};

/// No more combinations than this are looked at to find the jobs among them. A `sample` looks at [`MAX_JOBS`] at most.
pub const MAX_LOOKED_AT: u128 = 50_000_000;

/// The jobs that a manifest fans out into, by number.
#[derive(Debug)]
pub struct Expansion<'m> {
    space: Space<'m>,
    chosen: Chosen,
}

/// The parameters of candidates, by their index in the space: the points of a matrix.
#[derive(Debug)]
pub struct Points<'m>(Space<'m>);

impl<'m> Points<'m> {
    pub(crate) fn of(jobs: &'m JobSource) -> Result<Self, Error> {
        Space::of(jobs).map(Self)
    }

    pub fn get(&self, point: u64) -> Parameters {
        self.0.get(point.into())
    }

    /// The points that may have these parameters; none that is left out has. Nothing where that can't be told without a
    /// look at each.
    pub fn places_of(&self, parameters: &Parameters) -> Option<Vec<u64>> {
        match &self.0 {
            Space::Rows(_) => None,
            Space::One => Some(vec![0]),
            Space::Combinations(matrix) => {
                let places = matrix.places_of(parameters).into_iter();
                Some(places.filter_map(|place| u64::try_from(place).ok()).collect())
            }
        }
    }
}

/// Which candidates of the space are jobs.
#[derive(Debug)]
enum Chosen {
    /// The first so many: all of them.
    First(u32),
    /// In rising order. Small spaces, the only ones of which very many can be chosen, have small indices.
    Small(Vec<u32>),
    Large(Vec<u128>),
}

impl<'m> Expansion<'m> {
    pub(crate) fn of(manifest: &'m Manifest) -> Result<Self, Error> {
        let at = |path: &'static str| move |error: Error| error.or_at(manifest.places.of(path));
        let space = Space::of(&manifest.jobs).map_err(at("matrix"))?;
        if let JobSource::Matrix(matrix) = &manifest.jobs {
            let idle = space.idle_include().map(|index| effects::adds_nothing(index, &matrix.include[index]));
            let checked = effects::check(matrix).and_then(|()| idle.map_or(Ok(()), Err));
            checked.map_err(|(path, error)| error.or_at(manifest.places.of(&path)))?;
        }
        if space.len() == 0 {
            let error = match manifest.jobs {
                JobSource::Matrix(_) => Error::new("`exclude` leaves no job of the matrix; exclude less"),
                _ => Error::new("there are no jobs: `params` has no rows"),
            };
            return Err(at("params")(error).or_at(manifest.places.of("matrix")));
        }
        let names = space.names();
        let distinct = parameters::check_distinct(names.iter().copied());
        distinct.map_err(|error| at("params")(Error::new(error.to_string())))?;

        let condition = match &manifest.filter {
            Some(source) => Some(Condition::new(source, &names).map_err(at("where"))?),
            None => None,
        };
        let chosen = Search { manifest, space: &space, condition }.choose()?;
        let expansion = Self { space, chosen };
        expansion.check_templates(manifest)?;
        Ok(expansion)
    }

    /// How many jobs there are; at least one.
    #[expect(clippy::len_without_is_empty, reason = "an expansion is never empty")]
    pub fn len(&self) -> u32 {
        match &self.chosen {
            Chosen::First(count) => *count,
            Chosen::Small(indices) => indices.len() as u32,
            Chosen::Large(indices) => indices.len() as u32,
        }
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
        !matches!(self.space, Space::Rows(_)) && matches!(self.chosen, Chosen::First(_))
    }

    /// The jobs' points, by number; none where the parameters are rows, or a point is larger than Postgres can hold.
    pub fn points(&self) -> Option<impl Iterator<Item = u64> + '_> {
        let largest = self.index(self.len() - 1)?;
        let fits = !matches!(self.space, Space::Rows(_)) && i64::try_from(largest).is_ok();
        fits.then(|| (0..self.len()).filter_map(|job| self.index(job)).map(|index| index as u64))
    }

    fn index(&self, job: u32) -> Option<u128> {
        match &self.chosen {
            Chosen::First(count) => (job < *count).then_some(job.into()),
            Chosen::Small(indices) => indices.get(job as usize).map(|index| u128::from(*index)),
            Chosen::Large(indices) => indices.get(job as usize).copied(),
        }
    }

    /// Checks that every job renders. Where the templates are plain, most jobs need no look.
    fn check_templates(&self, manifest: &Manifest) -> Result<(), Error> {
        let renderer = manifest.renderer()?;
        let alike = self.space.alike();
        let all_alike_render = renderer.always_renders(|name| self.space.alike_have(name));
        for job in 0..self.len() {
            let Some(index) = self.index(job) else {
                continue;
            };
            if index < alike && all_alike_render {
                continue;
            }
            renderer.check(manifest, &self.space.get(index))?;
        }
        Ok(())
    }
}

/// The search for the jobs among the candidates.
struct Search<'s, 'm> {
    manifest: &'m Manifest,
    space: &'s Space<'m>,
    condition: Option<Condition<'s>>,
}

impl Search<'_, '_> {
    fn choose(&self) -> Result<Chosen, Error> {
        let all = self.space.len();
        let takes_all = self.condition.is_none() && !self.space.excludes();
        let chosen = match self.manifest.sample {
            Some(sample) if !takes_all || u128::from(sample.count) < all => {
                self.sample(sample.count, sample.seed)?
            }
            _ if takes_all && all <= MAX_JOBS.into() => return Ok(Chosen::First(all as u32)),
            _ if takes_all => return Err(self.too_many(&format!("the sweep has {}", count(all)))),
            _ => self.all()?,
        };
        if chosen.is_empty() {
            return Err(self.none_left());
        }
        let is_small = all <= u128::from(u32::MAX);
        Ok(match is_small {
            true => Chosen::Small(chosen.into_iter().map(|index| index as u32).collect()),
            false => Chosen::Large(chosen),
        })
    }

    fn all(&self) -> Result<Vec<u128>, Error> {
        let all = self.space.len();
        if all > MAX_LOOKED_AT {
            return Err(self.error("matrix", format!(
                "the matrix has {} combinations, too many to look through for those that `exclude` and `where` leave; {} is the limit. Narrow the axes, or take a `sample`",
                count(all),
                count(MAX_LOOKED_AT)
            )));
        }
        let mut chosen = Vec::new();
        for index in 0..all {
            if self.takes(index)? {
                if chosen.len() >= MAX_JOBS as usize {
                    return Err(self.too_many(&format!("the sweep has more than {}", count(MAX_JOBS.into()))));
                }
                chosen.push(index);
            }
        }
        Ok(chosen)
    }

    fn sample(&self, wanted: u32, seed: u64) -> Result<Vec<u128>, Error> {
        let all = self.space.len();
        let mut draw = Draw::new(seed, all);
        let mut chosen = Vec::new();
        let mut looked_at = 0;
        while chosen.len() < wanted as usize {
            if looked_at >= u128::from(MAX_JOBS) {
                return Err(self.error("sample", format!(
                    "`exclude` and `where` leave so few of the {} combinations that a look at {} found only {} of the {wanted} to sample. Narrow the axes",
                    count(all),
                    count(MAX_JOBS.into()),
                    chosen.len()
                )));
            }
            let Some(index) = draw.next() else { break };
            looked_at += 1;
            if self.takes(index)? {
                chosen.push(index);
            }
        }
        chosen.sort_unstable();
        Ok(chosen)
    }

    fn takes(&self, index: u128) -> Result<bool, Error> {
        if self.space.is_excluded(index) {
            return Ok(false);
        }
        match &self.condition {
            Some(condition) => {
                let holds = condition.holds(&self.space.get(index));
                holds.map_err(|error| error.or_at(self.manifest.places.of("where")))
            }
            None => Ok(true),
        }
    }

    fn none_left(&self) -> Error {
        let is_excluded = |index| self.space.is_excluded(index);
        if self.condition.is_none() || (0..self.space.len()).all(is_excluded) {
            return self
                .error("matrix.exclude", "`exclude` leaves no job of the matrix; exclude less".to_owned());
        }
        let filter = self.manifest.filter.as_deref().unwrap_or_default();
        self.error("where", format!("`where` ({filter:?}) holds for no combination: there are 0 jobs to run"))
    }

    fn too_many(&self, what: &str) -> Error {
        let path = match self.manifest.jobs {
            JobSource::Matrix(_) => "matrix",
            _ => "params",
        };
        self.error(
            path,
            format!(
                "{what} jobs; {} is the limit. Narrow the axes, or take a `sample`",
                count(MAX_JOBS.into())
            ),
        )
    }

    fn error(&self, path: &str, message: String) -> Error {
        Error::new(message).or_at(self.manifest.places.of(path))
    }
}

/// A number of combinations, for people: `10,000,000`.
fn count(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    match number {
        u128::MAX => format!("{text} or more"),
        _ => text,
    }
}

/// All names of all of these.
fn names_of<'p>(all: impl Iterator<Item = &'p Parameters>) -> BTreeSet<&'p str> {
    all.flat_map(Parameters::names).collect()
}

#[cfg(test)]
mod tests;
