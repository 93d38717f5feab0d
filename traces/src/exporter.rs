//! Where spans are sent.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanId, TraceId, TracerProvider};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracer, SdkTracerProvider};
use tracing::warn;

/// How long one message of spans may take.
const EXPORT: Duration = Duration::from_secs(5);
/// How long a process waits at its end until what it has is sent.
const LAST: Duration = Duration::from_secs(5);

static SENDER: OnceLock<(SdkTracerProvider, SdkTracer)> = OnceLock::new();

/// Begins to send spans to a collector at this address, as this service. It must be called inside a runtime that lives
/// until [`stop`].
pub fn start(endpoint: &str, service: &'static str) -> Result<(), String> {
    if !endpoint.starts_with("http://") {
        return Err(format!(
            "{endpoint:?} is not the address of a collector; it is like http://127.0.0.1:4317, for gRPC without TLS"
        ));
    }
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT).build();
    let exporter = exporter.map_err(|error| format!("{endpoint:?}: {error}"))?;
    let resource = Resource::builder()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_id_generator(Ids)
        .with_resource(resource)
        .build();
    let tracer = provider.tracer("btctl");
    SENDER.get_or_init(|| (provider, tracer));
    Ok(())
}

/// Sends what was not sent yet. The runtime must still be there, and this must not be one of its tasks.
pub fn stop() {
    if let Some((provider, _)) = SENDER.get()
        && let Err(error) = provider.shutdown_with_timeout(LAST)
    {
        warn!(%error, "spans are lost");
    }
}

/// Sends what was not sent yet, and goes on.
pub fn flush() {
    if let Some((provider, _)) = SENDER.get()
        && let Err(error) = provider.force_flush()
    {
        warn!(%error, "spans are lost");
    }
}

pub(crate) fn tracer() -> Option<&'static SdkTracer> {
    SENDER.get().map(|(_, tracer)| tracer)
}

thread_local! {
    /// The ids of the span that is made now, if they are not random.
    static CHOSEN: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

/// Makes a span with these ids, which must be its trace's first.
pub(crate) fn with_ids<T>(trace: TraceId, span: SpanId, make: impl FnOnce() -> T) -> T {
    CHOSEN.set(Some((trace, span)));
    let made = make();
    CHOSEN.set(None);
    made
}

#[derive(Debug)]
struct Ids;

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        CHOSEN.get().map_or_else(|| RandomIdGenerator::default().new_trace_id(), |(trace, _)| trace)
    }

    fn new_span_id(&self) -> SpanId {
        CHOSEN.get().map_or_else(|| RandomIdGenerator::default().new_span_id(), |(_, span)| span)
    }
}
