//! Series of one name, by the values of their labels. A value is a text of the program (`&'static str`), so that no sweep,
//! job, owner or path can become one; the handle of each series is looked up once.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use metrics::{Key, Label, Level, Metadata};

use crate::exporter;

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
    pub labels: &'static [&'static str],
    /// Which server serves it.
    pub server: &'static str,
    /// Of a histogram: the upper bounds.
    pub buckets: &'static [f64],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

static METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

/// Handles by the labels' values.
struct Handles<const N: usize, H> {
    name: &'static str,
    labels: [&'static str; N],
    known: RwLock<BTreeMap<[&'static str; N], H>>,
}

impl<const N: usize, H: Clone> Handles<N, H> {
    const fn new(name: &'static str, labels: [&'static str; N]) -> Self {
        Self { name, labels, known: RwLock::new(BTreeMap::new()) }
    }

    /// The handle of a series, made by `register` the first time; none before the start.
    fn of(&self, values: [&'static str; N], register: impl FnOnce(&Key) -> H) -> Option<H> {
        if !exporter::is_started() {
            return None;
        }
        if let Some(handle) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&values) {
            return Some(handle.clone());
        }
        let labels = self.labels.iter().zip(values).map(|(label, value)| Label::new(*label, value));
        let handle = register(&Key::from_parts(self.name, labels.collect::<Vec<_>>()));
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        Some(known.entry(values).or_insert(handle).clone())
    }
}

/// What only rises.
pub struct Counter<const N: usize>(Handles<N, metrics::Counter>);

impl<const N: usize> Counter<N> {
    pub(crate) const fn new(name: &'static str, labels: [&'static str; N]) -> Self {
        Self(Handles::new(name, labels))
    }

    pub fn add(&self, labels: [&'static str; N], amount: u64) {
        let register =
            |key: &Key| metrics::with_recorder(|recorder| recorder.register_counter(key, &METADATA));
        if let Some(counter) = self.0.of(labels, register) {
            counter.increment(amount);
        }
    }
}

/// What is so now.
pub struct Gauge<const N: usize>(Handles<N, metrics::Gauge>);

impl<const N: usize> Gauge<N> {
    pub(crate) const fn new(name: &'static str, labels: [&'static str; N]) -> Self {
        Self(Handles::new(name, labels))
    }

    pub fn set(&self, labels: [&'static str; N], value: f64) {
        if let Some(gauge) = self.handle(labels) {
            gauge.set(value);
        }
    }

    pub fn change(&self, labels: [&'static str; N], by: f64) {
        if let Some(gauge) = self.handle(labels) {
            gauge.increment(by);
        }
    }

    fn handle(&self, labels: [&'static str; N]) -> Option<metrics::Gauge> {
        self.0.of(labels, |key| metrics::with_recorder(|recorder| recorder.register_gauge(key, &METADATA)))
    }
}

/// How long something took, how often.
pub struct Histogram<const N: usize>(Handles<N, metrics::Histogram>);

impl<const N: usize> Histogram<N> {
    pub(crate) const fn new(name: &'static str, labels: [&'static str; N]) -> Self {
        Self(Handles::new(name, labels))
    }

    pub fn record(&self, labels: [&'static str; N], time: Duration) {
        let register =
            |key: &Key| metrics::with_recorder(|recorder| recorder.register_histogram(key, &METADATA));
        if let Some(histogram) = self.0.of(labels, register) {
            histogram.record(time.as_secs_f64());
        }
    }
}
