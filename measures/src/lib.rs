//! What btctl measures of itself, for Prometheus. Every series is a row of the `table`: its name, its unit, its labels
//! and what it says. There is no other way to record anything, so that none is without a description.
//!
//! Nothing is recorded, and recording costs nothing, until [`start`] was called.

mod exporter;
mod family;
mod table;

pub use exporter::{CONTENT_TYPE, render, start};
pub use family::{Counter, Gauge, Histogram, Kind, Measure};
pub use table::*;
