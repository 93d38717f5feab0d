//! What a container of several points is told, and what it tells (`batch` in the manifest): the files that list its points,
//! the status file that it writes, and its log, cut into one for each point. The status file is a job's own doing, and is
//! read as what it is: data that may lie.

mod cut;
mod points;
mod status;

pub(crate) use cut::{MemberLog, cut};
pub(crate) use points::{Point, as_json, as_table, below};
pub(crate) use status::{PointReport, Reports, read};
