//! A collector of traces of a test's own: it takes what the processes send by OpenTelemetry's protocol, and keeps it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// A span that came, and the service that sent it.
#[derive(Clone, Debug)]
pub struct SentSpan {
    pub service: String,
    pub span: Span,
}

impl SentSpan {
    /// What it says under a name.
    pub fn said(&self, name: &str) -> String {
        text(&self.span.attributes, name)
    }
}

/// A running collector.
#[derive(Debug)]
pub struct SpanCollector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<SentSpan>>>,
    #[expect(dead_code, reason = "it serves as long as this lives")]
    runtime: Runtime,
}

impl SpanCollector {
    pub fn start() -> Self {
        let runtime = Runtime::new().expect("start a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("listen");
        let address = listener.local_addr().expect("a listening socket has an address");
        let spans = Arc::default();
        let service = TraceServiceServer::new(Collecting(Arc::clone(&spans)));
        runtime.spawn(
            Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Self { address, spans, runtime }
    }

    /// Its address, as a setting takes it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that came so far.
    pub fn spans(&self) -> Vec<SentSpan> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Debug)]
struct Collecting(Arc<Mutex<Vec<SentSpan>>>);

#[tonic::async_trait]
impl TraceService for Collecting {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for sent in request.into_inner().resource_spans {
            let service = sent.resource.map(|resource| text(&resource.attributes, "service.name"));
            let service = service.unwrap_or_default();
            let spans = sent.scope_spans.into_iter().flat_map(|scope| scope.spans);
            kept.extend(spans.map(|span| SentSpan { service: service.clone(), span }));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn text(attributes: &[KeyValue], name: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == name);
    match found.and_then(|attribute| attribute.value.as_ref()).and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        _ => String::new(),
    }
}
