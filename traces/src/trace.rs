//! A trace, and the spans of it.

use std::fmt;
use std::time::SystemTime;

use opentelemetry::trace::{
    Link, Span, SpanBuilder, SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState,
    Tracer,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use sha2::{Digest, Sha256};

use crate::exporter;

/// Jobs of a sweep that are traced.
const TRACED: u32 = 1_000;

/// What is said of a span.
pub type Attributes<'a> = &'a [(&'static str, String)];

/// A trace, by its id and the id of its first span. Its text is a `traceparent` as W3C has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    id: TraceId,
    first: SpanId,
}

impl Trace {
    /// The trace of a job in a sweep of so many; none if it is not among those that are traced.
    pub fn of(sweep: &[u8; 16], job: u32, jobs: u32) -> Option<Self> {
        if !job.is_multiple_of(jobs.div_ceil(TRACED).max(1)) {
            return None;
        }
        let hash =
            Sha256::new().chain_update(b"btctl trace").chain_update(sweep).chain_update(job.to_be_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        let (mut id, mut first) = ([0; 16], [0; 8]);
        id.copy_from_slice(&hash[..16]);
        first.copy_from_slice(&hash[16..24]);
        Some(Self { id: TraceId::from_bytes(id), first: SpanId::from_bytes(first) })
    }

    /// A trace of its own; none if nothing is traced.
    pub fn begin() -> Option<Self> {
        exporter::tracer()?;
        let ids = RandomIdGenerator::default();
        Some(Self { id: ids.new_trace_id(), first: ids.new_span_id() })
    }

    /// Reads a `traceparent`; none if it is not one, or its trace is not to be recorded.
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, id, first, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_recorded = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
        let is_whole = version.len() == 2 && id.len() == 32 && first.len() == 16;
        let this = Self { id: TraceId::from_hex(id).ok()?, first: SpanId::from_hex(first).ok()? };
        (is_whole && is_recorded && this.context().is_valid()).then_some(this)
    }

    fn context(&self) -> SpanContext {
        SpanContext::new(self.id, self.first, TraceFlags::SAMPLED, true, TraceState::default())
    }

    /// Records its first span, which has ended now; what caused it is another trace's.
    pub fn first(&self, name: &'static str, began: SystemTime, cause: Option<&Self>, said: Attributes<'_>) {
        let Some(tracer) = exporter::tracer() else { return };
        let links = cause.map(|cause| Link::with_context(cause.context())).into_iter().collect();
        let builder = builder(name, began, said).with_links(links);
        let make = || tracer.build_with_context(builder, &Context::new());
        exporter::with_ids(self.id, self.first, make).end();
    }

    /// Records a span that has ended now.
    pub fn span(&self, name: &'static str, began: SystemTime, said: Attributes<'_>) {
        self.span_until(name, began, SystemTime::now(), said);
    }

    /// Records a span.
    pub fn span_until(&self, name: &'static str, began: SystemTime, ended: SystemTime, said: Attributes<'_>) {
        let Some(tracer) = exporter::tracer() else { return };
        let parent = Context::new().with_remote_span_context(self.context());
        tracer.build_with_context(builder(name, began, said), &parent).end_with_timestamp(ended);
    }
}

fn builder(name: &'static str, began: SystemTime, said: Attributes<'_>) -> SpanBuilder {
    let attributes = said.iter().map(|(name, value)| KeyValue::new(*name, value.clone()));
    SpanBuilder::from_name(name)
        .with_kind(SpanKind::Internal)
        .with_start_time(began)
        .with_attributes(attributes.collect::<Vec<_>>())
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-01", self.id, self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jobs_trace_is_the_same_everywhere_and_no_other_jobs() {
        let trace = |sweep: u8, job| Trace::of(&[sweep; 16], job, 10).unwrap();
        assert_eq!(trace(1, 0), trace(1, 0));
        assert_ne!(trace(1, 0), trace(1, 1));
        assert_ne!(trace(1, 0), trace(2, 0));
        assert_eq!(Trace::read(&trace(1, 7).to_string()), Some(trace(1, 7)));
    }

    #[test]
    fn of_large_sweeps_a_thousand_jobs_are_traced() {
        for (jobs, expected) in [(1, 1), (1_000, 1_000), (1_001, 501), (1_000_000, 1_000)] {
            let traced = (0..jobs).filter(|job| Trace::of(&[9; 16], *job, jobs).is_some()).count();
            assert_eq!(traced, expected, "of {jobs}");
        }
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(Trace::read(good).unwrap().to_string(), good);
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-zzf067aa0ba902b7-01",
        ] {
            assert_eq!(Trace::read(bad), None, "{bad}");
        }
    }
}
