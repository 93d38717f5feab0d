//! The candidates for jobs: a matrix' combinations by number, then those that `include` adds; or rows. Where there are
//! windows, all of them in the first window, then all in the second, and so on.
//!
//! A combination is computed from its number, as the digits of a number are; none is kept.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::names_of;
use crate::manifest::{Error, JobSource, Manifest, Matrix};
use crate::parameters::Parameters;
use crate::windows::{self, Phase, Window};

/// More steps than this are not taken to find out what many overlapping `exclude` entries leave.
const MAX_STEPS: u32 = 100_000;

#[derive(Debug)]
pub(super) struct Space<'m> {
    /// Empty without walk-forward.
    windows: Vec<Window>,
    /// The candidates are for training. After them come as many for tests, each with the parameters of one of them, and
    /// then one for each window that has only the window's own.
    has_tests: bool,
    base: Base<'m>,
}

/// What there is in each window.
#[derive(Debug)]
enum Base<'m> {
    Rows(&'m [Parameters]),
    One,
    Combinations(Combinations<'m>),
}

#[derive(Debug)]
struct Combinations<'m> {
    matrix: &'m Matrix,
    /// How many the axes have; `u128::MAX` if they are more.
    product: u128,
    excludes: Vec<FixedValues>,
    adds: Vec<Add<'m>>,
    /// What `include` has that fits no combination of the axes.
    new: Vec<&'m Parameters>,
}

/// The combinations that have these values: indices of axes and of their values.
type FixedValues = Vec<(usize, u64)>;

/// An entry of `include` that adds parameters to a part of the combinations.
#[derive(Debug)]
struct Add<'m> {
    /// Which entry of `include` it is.
    entry: usize,
    to: FixedValues,
    what: Vec<(&'m str, &'m Value)>,
}

impl<'m> Space<'m> {
    pub(super) fn of(manifest: &'m Manifest) -> Result<Self, Error> {
        let base = Base::of(&manifest.jobs).map_err(|error| error.or_at(manifest.places.of("matrix")))?;
        Ok(Self { windows: manifest.window_list()?, has_tests: manifest.select.is_some(), base })
    }

    /// True where the parameters are no matrix' and have no points.
    pub(super) fn has_rows(&self) -> bool {
        matches!(self.base, Base::Rows(_))
    }

    /// How many candidates there are, the excluded ones with them.
    pub(super) fn len(&self) -> u128 {
        self.base_len().saturating_mul(self.window_count().into())
    }

    /// How many there are in each window.
    pub(super) fn base_len(&self) -> u128 {
        self.base.len()
    }

    /// How often the candidates are multiplied: once without walk-forward.
    pub(super) fn window_count(&self) -> u32 {
        self.windows.len().max(1) as u32
    }

    /// How many values each axis has; rows are one axis.
    pub(super) fn lengths(&self) -> Vec<u64> {
        match &self.base {
            Base::Rows(rows) => vec![rows.len() as u64],
            Base::One => vec![1],
            Base::Combinations(matrix) => matrix.matrix.axes.iter().map(|(_, axis)| axis.len()).collect(),
        }
    }

    /// The place of what is at a place of each window in this one.
    pub(super) fn at(&self, window: u32, place: u128) -> u128 {
        self.base_len().saturating_mul(window.into()).saturating_add(place)
    }

    pub(super) fn get(&self, index: u128) -> Parameters {
        let (all, len) = (self.len().max(1), self.base_len().max(1));
        let (phase, place) = match self.has_tests {
            false => (None, index),
            true if index < all => (Some(Phase::Train), index),
            true => (Some(Phase::Test), index - all),
        };
        let (number, place) = match place.checked_sub(all) {
            // Nothing is chosen yet.
            Some(window) if self.has_tests => (window, None),
            _ => (place / len, Some(place % len)),
        };
        let Some(window) = usize::try_from(number).ok().and_then(|number| self.windows.get(number)) else {
            return self.base.get(index);
        };
        let mut map = Map::new();
        window.put(&mut map);
        map.extend(phase.map(|phase| (windows::PHASE.to_owned(), phase.name().into())));
        map.extend(place.map(|place| self.base.get(place).into_map()).unwrap_or_default());
        Parameters::from_checked(map)
    }

    /// The place of the test that has the parameters of a candidate.
    pub(super) fn test_of(&self, index: u128) -> u128 {
        self.len().saturating_add(index)
    }

    /// The place of the test of a window while it has no parameters but the window's.
    pub(super) fn waiting_test(&self, window: u32) -> u128 {
        self.len().saturating_mul(2).saturating_add(window.into())
    }

    /// How many jobs there may be besides the candidates.
    pub(super) fn tests_at_most(&self) -> u128 {
        if self.has_tests { self.window_count().into() } else { 0 }
    }

    pub(super) fn has_tests(&self) -> bool {
        self.has_tests
    }

    pub(super) fn excludes(&self) -> bool {
        self.base.excludes()
    }

    /// True for a place that no window has a job at.
    pub(super) fn is_excluded(&self, place: u128) -> bool {
        self.base.is_excluded(place)
    }

    /// The entry of `include` that adds nothing to any combination.
    pub(super) fn idle_include(&self) -> Option<usize> {
        self.base.idle_include()
    }

    /// All names that a job may have.
    pub(super) fn names(&self) -> BTreeSet<&'m str> {
        let mut names = self.base.names();
        names.extend(self.window_names());
        names
    }

    /// The names that windows give, if there are any.
    fn window_names(&self) -> Vec<&'static str> {
        let dates: &[&str] = if self.windows.is_empty() { &[] } else { &windows::NAMES };
        dates.iter().copied().chain(self.has_tests.then_some(windows::PHASE)).collect()
    }

    /// Refuses parameters that are named as those of a window. The path says where one stands.
    pub(super) fn check_names(&self) -> Result<(), (String, Error)> {
        let names = self.base.names();
        let Some(name) = self.window_names().into_iter().find(|name| names.contains(name)) else {
            return Ok(());
        };
        let path = match &self.base {
            Base::Combinations(_) => format!("matrix.{name}"),
            Base::Rows(_) | Base::One => "params".to_owned(),
        };
        let key = if name == windows::PHASE { "select" } else { "windows" };
        let message = format!("`{name}` is a parameter that `{key}` gives to every job; take another name");
        Err((path, Error::new(message)))
    }

    /// The first so many candidates have the same names, and perhaps more.
    pub(super) fn alike(&self) -> u128 {
        match self.base.alike() {
            all if all == self.base_len() => self.len(),
            some => some,
        }
    }

    /// True for a name that all of the [`Self::alike`] have.
    pub(super) fn alike_have(&self, name: &str) -> bool {
        self.base.alike_have(name) || self.window_names().contains(&name)
    }

    /// Where these parameters may be, and nowhere else. Nothing where that can't be told without a look at each.
    pub(super) fn places_of(&self, parameters: &Parameters) -> Option<Vec<u128>> {
        if self.windows.is_empty() {
            return self.base.places_of(parameters);
        }
        let number =
            parameters.get("window").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
        let Some(window) = number.filter(|number| *number < self.window_count()) else {
            return Some(Vec::new());
        };
        let mut map = parameters.as_map().clone();
        map.retain(|name, _| !windows::NAMES.contains(&name.as_str()) && name != windows::PHASE);
        let is_test = parameters.get(windows::PHASE).is_some_and(|phase| phase == Phase::Test.name());
        let places = self.base.places_of(&Parameters::from_checked(map))?.into_iter();
        let places = places.map(|place| self.at(window, place));
        match is_test && self.has_tests {
            true => {
                Some(places.map(|place| self.test_of(place)).chain([self.waiting_test(window)]).collect())
            }
            false => Some(places.collect()),
        }
    }
}

impl<'m> Base<'m> {
    fn of(jobs: &'m JobSource) -> Result<Self, Error> {
        match jobs {
            JobSource::Rows(rows) => Ok(Self::Rows(rows)),
            JobSource::One => Ok(Self::One),
            JobSource::Matrix(matrix) => Combinations::of(matrix).map(Self::Combinations),
        }
    }

    fn len(&self) -> u128 {
        match self {
            Self::Rows(rows) => rows.len() as u128,
            Self::One => 1,
            Self::Combinations(matrix) => matrix.product.saturating_add(matrix.new.len() as u128),
        }
    }

    fn get(&self, index: u128) -> Parameters {
        match self {
            Self::Rows(rows) => {
                usize::try_from(index).ok().and_then(|index| rows.get(index)).cloned().unwrap_or_default()
            }
            Self::One => Parameters::default(),
            Self::Combinations(matrix) => matrix.get(index),
        }
    }

    fn excludes(&self) -> bool {
        matches!(self, Self::Combinations(matrix) if !matrix.excludes.is_empty())
    }

    fn is_excluded(&self, index: u128) -> bool {
        match self {
            Self::Combinations(matrix) if index < matrix.product && !matrix.excludes.is_empty() => {
                let indices = matrix.indices(index);
                matrix.excludes.iter().any(|part| holds(part, &indices))
            }
            _ => false,
        }
    }

    fn idle_include(&self) -> Option<usize> {
        match self {
            Self::Combinations(matrix) => {
                let idle = matrix.adds.iter().find(|add| add.what.is_empty());
                idle.map(|add| add.entry)
            }
            Self::Rows(_) | Self::One => None,
        }
    }

    fn names(&self) -> BTreeSet<&'m str> {
        match self {
            Self::Rows(rows) => names_of(rows.iter()),
            Self::One => BTreeSet::new(),
            Self::Combinations(matrix) => {
                let axes = matrix.matrix.axes.iter().map(|(name, _)| name.as_str());
                axes.chain(names_of(matrix.matrix.include.iter())).collect()
            }
        }
    }

    fn alike(&self) -> u128 {
        match self {
            Self::Rows(_) => 0,
            Self::One => 1,
            Self::Combinations(matrix) => matrix.product,
        }
    }

    fn alike_have(&self, name: &str) -> bool {
        match self {
            Self::Rows(_) | Self::One => false,
            Self::Combinations(matrix) => {
                let is_axis = matrix.matrix.axes.iter().any(|(axis, _)| axis == name);
                let mut to_all = matrix.adds.iter().filter(|add| add.to.is_empty());
                is_axis || to_all.any(|add| add.what.iter().any(|(added, _)| *added == name))
            }
        }
    }

    fn places_of(&self, parameters: &Parameters) -> Option<Vec<u128>> {
        match self {
            Self::Rows(_) => None,
            Self::One => Some(vec![0]),
            Self::Combinations(matrix) => Some(matrix.places_of(parameters)),
        }
    }
}

impl<'m> Combinations<'m> {
    fn of(matrix: &'m Matrix) -> Result<Self, Error> {
        let sizes = matrix.axes.iter().map(|(_, axis)| u128::from(axis.len()));
        let product = match matrix.axes.is_empty() {
            true => 0,
            false => sizes.fold(1_u128, u128::saturating_mul),
        };
        let mut space = Self {
            matrix,
            product,
            excludes: matrix.exclude.iter().filter_map(|entry| part(matrix, entry)).collect(),
            adds: Vec::new(),
            new: Vec::new(),
        };
        for (number, entry) in matrix.include.iter().enumerate() {
            match part(matrix, entry) {
                Some(to) if product > 0 && space.leaves_some_of(&to)? => {
                    let is_axis = |name: &str| matrix.axes.iter().any(|(axis, _)| axis == name);
                    let what = entry.iter().filter(|(name, _)| !is_axis(name)).collect();
                    space.adds.push(Add { entry: number, to, what });
                }
                _ => space.new.push(entry),
            }
        }
        Ok(space)
    }

    fn get(&self, index: u128) -> Parameters {
        if index >= self.product {
            let new = usize::try_from(index - self.product).ok().and_then(|index| self.new.get(index));
            return new.map(|new| (*new).clone()).unwrap_or_default();
        }
        let indices = self.indices(index);
        let axes = self.matrix.axes.iter().zip(&indices);
        let mut map: Map<String, Value> =
            axes.map(|((name, axis), index)| (name.clone(), axis.at(*index))).collect();
        for add in self.adds.iter().filter(|add| holds(&add.to, &indices)) {
            for (name, value) in &add.what {
                map.insert((*name).to_owned(), (*value).clone());
            }
        }
        Parameters::from_checked(map)
    }

    /// Where these parameters may be: no more than a few places, and in no other.
    fn places_of(&self, parameters: &Parameters) -> Vec<u128> {
        let mut place = (self.product > 0 && self.product < u128::MAX).then_some(0);
        for (name, axis) in &self.matrix.axes {
            let index = parameters.get(name).and_then(|value| axis.index_of(value));
            place = place.zip(index).map(|(place, index)| place * u128::from(axis.len()) + u128::from(index));
        }
        let new = self.new.iter().enumerate().filter(|(_, new)| new.len() == parameters.len());
        place.into_iter().chain(new.map(|(index, _)| self.product + index as u128)).collect()
    }

    /// The index of each axis' value; the last axis turns fastest.
    fn indices(&self, mut index: u128) -> Vec<u64> {
        let mut indices = vec![0; self.matrix.axes.len()];
        for (slot, (_, axis)) in indices.iter_mut().zip(&self.matrix.axes).rev() {
            let len = u128::from(axis.len());
            *slot = (index % len) as u64;
            index /= len;
        }
        indices
    }

    /// True when `exclude` leaves a combination of the part.
    fn leaves_some_of(&self, part: &FixedValues) -> Result<bool, Error> {
        let mut fixed = vec![None; self.matrix.axes.len()];
        for (axis, value) in part {
            fixed[*axis] = Some(*value);
        }
        let mut cover = Cover { space: self, steps: 0 };
        let is_covered = cover.covers(Region { without: vec![Vec::new(); fixed.len()], fixed });
        is_covered.map(|is_covered| !is_covered)
    }
}

/// Combinations whose axes have one value, or any but some.
#[derive(Clone)]
struct Region {
    fixed: Vec<Option<u64>>,
    without: Vec<Vec<u64>>,
}

/// Finds out whether the `exclude` entries together cover a region, without looking at each of its combinations.
struct Cover<'s, 'm> {
    space: &'s Combinations<'m>,
    steps: u32,
}

impl Cover<'_, '_> {
    fn covers(&mut self, mut region: Region) -> Result<bool, Error> {
        loop {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                let message = "the entries of `exclude` overlap in too many ways; use `where` instead";
                return Err(Error::new(message));
            }
            let space = self.space;
            let Some(part) = space.excludes.iter().find(|part| region.meets(part)) else {
                return Ok(false);
            };
            let open = part.iter().find(|(axis, _)| region.fixed[*axis].is_none());
            let Some((axis, value)) = open.copied() else {
                return Ok(true);
            };
            // All with this value first; then go on with all without it, if there are any.
            let mut with = region.clone();
            with.fixed[axis] = Some(value);
            if !self.covers(with)? {
                return Ok(false);
            }
            region.without[axis].push(value);
            if region.without[axis].len() as u64 >= space.matrix.axes[axis].1.len() {
                return Ok(true);
            }
        }
    }
}

impl Region {
    fn meets(&self, part: &FixedValues) -> bool {
        part.iter().all(|(axis, value)| match self.fixed[*axis] {
            Some(fixed) => fixed == *value,
            None => !self.without[*axis].contains(value),
        })
    }
}

/// The part that an entry's axes name; none when it has a value that its axis lacks.
fn part(matrix: &Matrix, entry: &Parameters) -> Option<FixedValues> {
    let axes = matrix.axes.iter().enumerate();
    let named = axes.filter_map(|(index, (name, axis))| Some((index, axis, entry.get(name)?)));
    named.map(|(index, axis, value)| Some((index, axis.index_of(value)?))).collect()
}

fn holds(part: &FixedValues, indices: &[u64]) -> bool {
    part.iter().all(|(axis, value)| indices[*axis] == *value)
}
