//! The axes of a matrix: lists and ranges, which are never written out.

use jiff::Span;
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde_json::Value;

use super::error::Error;
use crate::parameters::Parameters;

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
}

/// `from`, `from + step`, ... up to `to`, which belongs to it when it is hit.
#[derive(Clone, Debug)]
pub enum Range {
    Int {
        from: i64,
        to: i64,
        step: i64,
    },
    Decimal {
        from: Decimal,
        to: Decimal,
        step: Decimal,
    },
    Date {
        from: Date,
        to: Date,
        step: Span,
    },
}

/// `slow=20:200:20`, `fast=5,10,20` or `start=2020-01-01:2020-12-01:1mo`.
pub fn parse_axis_flag(text: &str) -> Result<(String, Axis), Error> {
    let _ = text;
    todo!()
}

impl PartialEq for Range {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Int { from, to, step },
                Self::Int {
                    from: f,
                    to: t,
                    step: s,
                },
            ) => (from, to, step) == (f, t, s),
            (
                Self::Decimal { from, to, step },
                Self::Decimal {
                    from: f,
                    to: t,
                    step: s,
                },
            ) => (from, to, step) == (f, t, s),
            (
                Self::Date { from, to, step },
                Self::Date {
                    from: f,
                    to: t,
                    step: s,
                },
            ) => (from, to, step.fieldwise()) == (f, t, s.fieldwise()),
            _ => false,
        }
    }
}
