//! Rows that are jobs as they are, checked one by one: a list that is too long to be kept need not be.

use std::collections::BTreeSet;

use crate::manifest::{Error, MAX_JOBS, Manifest};
use crate::parameters::{self, Parameters};
use crate::template::Renderer;

/// Checks rows as [`super::Expansion`] checks them together, where neither `where` nor `sample` chooses among them, and
/// no windows multiply them.
pub struct RowCheck<'m> {
    manifest: &'m Manifest,
    renderer: Renderer<'m>,
    names: BTreeSet<String>,
    rows: u32,
}

impl<'m> RowCheck<'m> {
    /// None if not every row is a job.
    pub fn of(manifest: &'m Manifest) -> Result<Option<Self>, Error> {
        let is_plain = manifest.filter.is_none() && manifest.sample.is_none() && manifest.windows.is_none();
        if !manifest.has_rows() || !is_plain {
            return Ok(None);
        }
        let renderer = manifest.renderer()?;
        Ok(Some(Self { manifest, renderer, names: BTreeSet::new(), rows: 0 }))
    }

    /// Checks the next row.
    pub fn check(&mut self, row: &Parameters) -> Result<(), Error> {
        if self.rows >= MAX_JOBS {
            return Err(Error::new(format!("the list has more than {MAX_JOBS} rows, the limit")));
        }
        let before = self.names.len();
        for name in row.names() {
            if !self.names.contains(name) {
                self.names.insert(name.to_owned());
            }
        }
        if self.names.len() > before {
            let names = self.names.iter().map(String::as_str);
            parameters::check_distinct(names).map_err(|error| Error::new(error.to_string()))?;
        }
        self.renderer.check(self.manifest, row)?;
        self.rows += 1;
        Ok(())
    }

    /// How many rows were checked: at least one.
    pub fn finish(self) -> Result<u32, Error> {
        match self.rows {
            0 => Err(Error::new("there are no jobs: `params` has no rows")),
            rows => Ok(rows),
        }
    }
}
