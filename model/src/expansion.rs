//! The jobs of a sweep, one by one, without writing them all out.

use crate::parameters::Parameters;

/// The jobs that a manifest fans out into, by number.
#[derive(Clone, Debug)]
pub struct Expansion {
    rows: Vec<Parameters>,
}

impl Expansion {
    /// How many jobs there are; at least one.
    #[expect(clippy::len_without_is_empty, reason = "an expansion is never empty")]
    pub fn len(&self) -> u32 {
        todo!()
    }

    /// The parameters of one job.
    pub fn get(&self, job: u32) -> Option<Parameters> {
        let _ = (job, &self.rows);
        todo!()
    }

    /// The jobs' parameters, by number.
    pub fn iter(&self) -> impl Iterator<Item = Parameters> + '_ {
        (0..self.len()).filter_map(|job| self.get(job))
    }
}
