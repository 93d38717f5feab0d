//! The search for the jobs among the candidates, in steps: a server that searches for somebody else does a few, looks
//! whether the answer is still wanted, and goes on.

use super::draw::Draw;
use super::space::Space;
use super::spread::Spread;
use super::{ChosenJobs, Expansion, MAX_LOOKED_AT, WindowTest};
use crate::condition::Condition;
use crate::manifest::{Error, JobSource, MAX_JOBS, Manifest, Sample, check, effects};
use crate::parameters;
use crate::stop_when;
use crate::template::Renderer;

/// A search that has begun. [`Search::advance`] until it is done, then [`Search::finish`].
#[derive(Debug)]
pub struct Search<'m> {
    manifest: &'m Manifest,
    space: Space<'m>,
    condition: Option<Condition<'m>>,
    stage: Stage<'m>,
    chosen: ChosenJobs,
}

#[derive(Debug)]
enum Stage<'m> {
    /// Which candidates are jobs.
    Choose {
        order: SearchOrder,
        /// Places that every window has.
        looked_at: u128,
        not_excluded: bool,
        /// Places with a job in some window.
        taken: u32,
        found: Vec<u128>,
    },
    /// Whether each job renders.
    Render {
        renderer: Renderer<'m>,
        next: u32,
    },
    Done,
}

#[derive(Debug)]
enum SearchOrder {
    /// One after the other, all of them.
    Rising,
    /// At random, until so many are found.
    Drawn(Box<Draw>, u32),
    /// Evenly, until so many are found.
    Spread(Box<Spread>, u32),
}

impl<'m> Search<'m> {
    pub(crate) fn of(manifest: &'m Manifest) -> Result<Self, Error> {
        let at = |path: &'static str| move |error: Error| error.or_at(manifest.places.of(path));
        check::machine_labels(&manifest.agents).map_err(at("agents"))?;
        let space = Space::of(manifest)?;
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
        space.check_names().map_err(|(path, error)| error.or_at(manifest.places.of(&path)))?;
        let distinct = parameters::check_distinct(names.iter().copied());
        distinct.map_err(|error| {
            at("params")(Error::new(error.to_string())).or_at(manifest.places.of("matrix"))
        })?;
        let condition = match &manifest.filter {
            Some(source) => Some(Condition::new(source, &names).map_err(at("where"))?),
            None => None,
        };
        if let Some(source) = &manifest.policy.stop_when {
            stop_when::check_with(source, &names).map_err(at(stop_when::KEY))?;
        }
        let mut search =
            Self { manifest, space, condition, stage: Stage::Done, chosen: ChosenJobs::First(0) };
        search.stage = search.first_stage()?;
        Ok(search)
    }

    /// Looks at so many candidates or jobs. True when all is done.
    pub fn advance(&mut self, steps: u32) -> Result<bool, Error> {
        for _ in 0..steps {
            if !self.step()? {
                return Ok(true);
            }
        }
        Ok(matches!(self.stage, Stage::Done))
    }

    /// The jobs, once the search is done.
    pub fn finish(self) -> Expansion<'m> {
        debug_assert!(matches!(self.stage, Stage::Done), "the search goes on");
        let tests = tests(&self.space, &self.chosen);
        Expansion { space: self.space, chosen: self.chosen, tests }
    }

    fn first_stage(&mut self) -> Result<Stage<'m>, Error> {
        let (all, places) = (self.space.len(), self.space.base_len());
        let takes_all = self.condition.is_none() && !self.space.excludes();
        let order = match self.manifest.sample {
            Some(sample) if !takes_all || u128::from(sample.count) < places => {
                let Sample { count, seed, method } = sample;
                match Spread::new(method, count, seed, self.space.lengths(), places) {
                    Some(spread) => SearchOrder::Spread(Box::new(spread), count),
                    None => SearchOrder::Drawn(Box::new(Draw::new(seed, places)), count),
                }
            }
            _ if takes_all && all + self.space.tests_at_most() <= MAX_JOBS.into() => {
                self.chosen = ChosenJobs::First(all as u32);
                return self.render();
            }
            _ if takes_all => return Err(self.too_many(&format!("the sweep has {}", count(all)))),
            _ if all > MAX_LOOKED_AT => {
                return Err(self.error("matrix", format!(
                    "the matrix has {} combinations, too many to look through for those that `exclude` and `where` leave; {} is the limit. Narrow the axes, or take a `sample`",
                    count(all),
                    count(MAX_LOOKED_AT)
                )));
            }
            _ => SearchOrder::Rising,
        };
        Ok(Stage::Choose { order, looked_at: 0, not_excluded: false, taken: 0, found: Vec::new() })
    }

    fn render(&self) -> Result<Stage<'m>, Error> {
        let renderer = self.manifest.renderer()?;
        let all_alike_render =
            renderer.always_renders(self.space.names().len(), |name| self.space.alike_have(name));
        let next = if all_alike_render { self.chosen.below(self.space.alike()) } else { 0 };
        Ok(Stage::Render { renderer, next })
    }

    /// One candidate or job; false when all is done.
    fn step(&mut self) -> Result<bool, Error> {
        match &mut self.stage {
            Stage::Done => Ok(false),
            Stage::Render { renderer, next } => {
                let Some(index) = self.chosen.get(*next) else {
                    self.stage = Stage::Done;
                    return Ok(false);
                };
                *next += 1;
                renderer.check(self.manifest, &self.space.get(index))?;
                if self.space.has_tests() {
                    renderer.check(self.manifest, &self.space.get(self.space.test_of(index)))?;
                }
                Ok(true)
            }
            Stage::Choose { order, looked_at, not_excluded, taken, found } => {
                let candidate = match order {
                    SearchOrder::Rising => Some(*looked_at).filter(|place| *place < self.space.base_len()),
                    SearchOrder::Drawn(_, wanted) | SearchOrder::Spread(_, wanted) if *taken >= *wanted => {
                        None
                    }
                    SearchOrder::Drawn(_, wanted) | SearchOrder::Spread(_, wanted)
                        if *looked_at >= u128::from(MAX_JOBS) =>
                    {
                        let message = format!(
                            "`exclude` and `where` leave so few of the {} combinations that a look at {} found only {} of the {wanted} to sample. Narrow the axes",
                            count(self.space.base_len()),
                            count(MAX_JOBS.into()),
                            *taken
                        );
                        return Err(self.error("sample", message));
                    }
                    SearchOrder::Drawn(draw, _) => draw.next(),
                    SearchOrder::Spread(spread, _) => spread.next(),
                };
                let Some(place) = candidate else {
                    let (found, any) = (std::mem::take(found), *not_excluded);
                    self.stage = self.chosen_stage(found, any)?;
                    return Ok(true);
                };
                *looked_at += 1;
                if self.space.is_excluded(place) {
                    return Ok(true);
                }
                *not_excluded = true;
                let before = found.len();
                for window in 0..self.space.window_count() {
                    let index = self.space.at(window, place);
                    if let Some(condition) = &self.condition {
                        let holds = condition.holds(&self.space.get(index));
                        if !holds.map_err(|error| error.or_at(self.manifest.places.of("where")))? {
                            continue;
                        }
                    }
                    if found.len() >= MAX_JOBS as usize {
                        return Err(
                            self.too_many(&format!("the sweep has more than {}", count(MAX_JOBS.into())))
                        );
                    }
                    found.push(index);
                }
                *taken += u32::from(found.len() > before);
                Ok(true)
            }
        }
    }

    /// What follows the choice.
    fn chosen_stage(&mut self, mut found: Vec<u128>, any_not_excluded: bool) -> Result<Stage<'m>, Error> {
        if found.is_empty() {
            return Err(self.none_left(any_not_excluded));
        }
        found.sort_unstable();
        let is_small = self.space.len() <= u128::from(u32::MAX);
        self.chosen = match is_small {
            true => ChosenJobs::Small(found.into_iter().map(|index| index as u32).collect()),
            false => ChosenJobs::Large(found),
        };
        self.render()
    }

    fn none_left(&self, any_not_excluded: bool) -> Error {
        if self.condition.is_none() || !any_not_excluded {
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

/// The tests of the windows that have training jobs, in their order.
fn tests(space: &Space<'_>, chosen: &ChosenJobs) -> Vec<WindowTest> {
    let mut tests: Vec<WindowTest> = Vec::new();
    if !space.has_tests() {
        return tests;
    }
    let jobs = chosen.len();
    for window in 0..space.window_count() {
        let (first, end) = (chosen.below(space.at(window, 0)), chosen.below(space.at(window + 1, 0)));
        if first < end {
            tests.push(WindowTest { job: jobs + tests.len() as u32, window, first, last: end - 1 });
        }
    }
    tests
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
