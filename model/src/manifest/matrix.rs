//! A matrix: axes, and what is included and excluded.

use super::error::{Error, suggestion};
use super::range::Range;
use super::volume_axis::VolumeFiles;
use crate::parameters::{self, Parameters, same_value};
use serde_json::Value;

/// An axis has no more written-out values than this; a range may be longer.
pub const MAX_VALUES: usize = 1_000_000;
/// A matrix has no more axes than this, and no more `include` or `exclude` entries than [`MAX_ENTRIES`].
pub const MAX_AXES: usize = 64;
pub const MAX_ENTRIES: usize = 10_000;

/// All combinations of the axes' values, less `exclude`, plus `include`: as in GitHub Actions' matrices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// In the manifest's order; the last one turns fastest.
    pub axes: Vec<(String, Axis)>,
    pub include: Vec<Parameters>,
    pub exclude: Vec<Parameters>,
}

/// The values of one parameter, none of them twice.
#[derive(Clone, Debug, PartialEq)]
pub enum Axis {
    Values(Vec<Value>),
    Range(Range),
    /// Names of files, which an agent read from a volume; none until one was asked.
    Files(VolumeFiles, Vec<Value>),
}

impl Axis {
    /// A list of values.
    pub fn values(name: &str, values: Vec<Value>) -> Result<Self, Error> {
        check_values(name, &values)?;
        Ok(Self::Values(values))
    }

    /// The files of a volume, as they were found there; none before that.
    pub(super) fn files(name: &str, from: VolumeFiles, found: Vec<Value>) -> Result<Self, Error> {
        if !found.is_empty() {
            check_values(name, &found)?;
        }
        Ok(Self::Files(from, found))
    }

    /// The values that are written out, if they are.
    pub(crate) fn listed(&self) -> Option<&[Value]> {
        match self {
            Self::Values(values) | Self::Files(_, values) => Some(values),
            Self::Range(_) => None,
        }
    }

    /// How many values there are; at least one, but for a volume's that has not been read.
    #[expect(clippy::len_without_is_empty, reason = "an axis of a checked manifest is never empty")]
    pub fn len(&self) -> u64 {
        match self {
            Self::Values(values) | Self::Files(_, values) => values.len() as u64,
            Self::Range(range) => range.len(),
        }
    }

    /// The value at an index below [`Self::len`].
    pub(crate) fn at(&self, index: u64) -> Value {
        match self {
            Self::Values(values) | Self::Files(_, values) => usize::try_from(index)
                .ok()
                .and_then(|index| values.get(index).cloned())
                .unwrap_or(Value::Null),
            Self::Range(range) => range.at(index),
        }
    }

    /// Where the value stands, if it is one of the axis; of two that are one number, the one that is written the same.
    pub(crate) fn index_of(&self, value: &Value) -> Option<u64> {
        match self {
            Self::Values(values) | Self::Files(_, values) => {
                let exact = values.iter().position(|known| known == value);
                let same = || values.iter().position(|known| same_value(known, value));
                exact.or_else(same).map(|index| index as u64)
            }
            Self::Range(range) => range.index_of(value),
        }
    }
}

/// Checks the written-out values of an axis.
fn check_values(name: &str, values: &[Value]) -> Result<(), Error> {
    if values.is_empty() {
        return Err(Error::new(format!("the axis `{name}` is empty; a list needs a value at least")));
    }
    if values.len() > MAX_VALUES {
        return Err(Error::new(format!(
            "the axis `{name}` has {} values; {MAX_VALUES} are the most",
            values.len()
        )));
    }
    let mut seen = std::collections::HashSet::new();
    for value in values {
        parameters::check_value(name, value).map_err(|error| Error::new(error.to_string()))?;
        // 5 and 5.0 are two values: their jobs receive different bytes.
        if !seen.insert(value.to_string()) {
            return Err(Error::new(format!(
                "the axis `{name}` has the value {value} twice; its jobs would be the same"
            )));
        }
    }
    Ok(())
}

impl Matrix {
    /// The same matrix with the axes of `other`, which win by name, and its entries added.
    pub(super) fn merge(mut self, other: Self) -> Self {
        for (name, axis) in other.axes {
            match self.axes.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => {
                    // What only the old values had can't be excluded any more.
                    let is_gone =
                        |value: &Value| known.index_of(value).is_some() && axis.index_of(value).is_none();
                    self.exclude.retain(|entry| !entry.get(&name).is_some_and(is_gone));
                    *known = axis;
                }
                None => self.axes.push((name, axis)),
            }
        }
        self.include.extend(other.include);
        self.exclude.extend(other.exclude);
        self
    }

    /// Checks names and bounds. The path in the error says where the mistake is.
    pub(super) fn check(&self) -> Result<(), (String, Error)> {
        let fail = |path: String, message: String| Err((path, Error::new(message)));
        if self.axes.is_empty() && self.include.is_empty() {
            let message = "the matrix is empty; it needs an axis, such as `fast: [5, 10]`, or `include`";
            return fail("matrix".into(), message.into());
        }
        if self.axes.len() > MAX_AXES {
            return fail(
                "matrix".into(),
                format!("{} axes; a matrix has {MAX_AXES} at most", self.axes.len()),
            );
        }
        for (index, (name, axis)) in self.axes.iter().enumerate() {
            let path = format!("matrix.{name}");
            if let Err(error) = parameters::check_name(name) {
                return fail(path, error.to_string());
            }
            if name == "include" || name == "exclude" {
                return fail(path, format!("`{name}` is not a name for an axis"));
            }
            if self.axes[..index].iter().any(|(other, _)| other == name) {
                return fail(path, format!("the axis `{name}` is given twice"));
            }
            if matches!(axis, Axis::Values(values) if values.is_empty()) {
                return fail(path, format!("the axis `{name}` is empty; a list needs a value at least"));
            }
        }
        for (key, entries) in [("include", &self.include), ("exclude", &self.exclude)] {
            if entries.len() > MAX_ENTRIES {
                let message = format!("{} entries; {MAX_ENTRIES} are the most", entries.len());
                return fail(format!("matrix.{key}"), message);
            }
        }
        self.check_exclude()?;
        let names = self.axes.iter().map(|(name, _)| name.as_str());
        let names = names.chain(self.include.iter().flat_map(Parameters::names));
        parameters::check_distinct(names).map_err(|error| ("matrix".into(), Error::new(error.to_string())))
    }

    /// Checks that the volumes whose files are values were read.
    pub(super) fn check_read(&self) -> Result<(), (String, Error)> {
        for (name, axis) in &self.axes {
            if let Axis::Files(from, values) = axis
                && values.is_empty()
            {
                let message = format!(
                    "the axis `{name}` has the files of the volume {}, which has not been read; it is read when the \
                     sweep is submitted",
                    from.volume
                );
                return Err((format!("matrix.{name}"), Error::new(message)));
            }
        }
        Ok(())
    }

    fn check_exclude(&self) -> Result<(), (String, Error)> {
        for (index, entry) in self.exclude.iter().enumerate() {
            let path = format!("matrix.exclude.{index}");
            if entry.is_empty() {
                let message = "an empty entry would exclude every combination";
                return Err((path, Error::new(message)));
            }
            for name in entry.names() {
                if !self.axes.iter().any(|(axis, _)| axis == name) {
                    let axes = self.axes.iter().map(|(axis, _)| axis.as_str());
                    let hint = suggestion(name, axes, "axes");
                    let message =
                        format!("`exclude` names `{name}`, which is not an axis of the matrix{hint}");
                    return Err((path, Error::new(message)));
                }
            }
        }
        Ok(())
    }
}
