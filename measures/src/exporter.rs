//! The process's one recorder, and what Prometheus reads of it.

use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, SystemTime};

use metrics::Recorder;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::{BUILD, Kind, MEASURES, STARTED};

/// The form of [`render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How often what histograms were given is added up, so that it does not pile up where nobody reads it.
const UPKEEP: Duration = Duration::from_secs(5);

static EXPORTER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Begins to record; `version` is the program's. Once is enough.
pub fn start(version: &'static str) {
    let mut builder = PrometheusBuilder::new();
    for measure in MEASURES.iter().filter(|measure| measure.kind == Kind::Histogram) {
        let matcher = Matcher::Full(measure.name.to_owned());
        // Only an empty list of buckets is refused.
        let Ok(with) = builder.set_buckets_for_metric(matcher, measure.buckets) else { return };
        builder = with;
    }
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    for measure in MEASURES {
        let (name, help) = (measure.name.into(), measure.help.into());
        match measure.kind {
            Kind::Counter => recorder.describe_counter(name, None, help),
            Kind::Gauge => recorder.describe_gauge(name, None, help),
            Kind::Histogram => recorder.describe_histogram(name, None, help),
        }
    }
    if metrics::set_global_recorder(recorder).is_err() || EXPORTER.set(handle.clone()).is_err() {
        return;
    }
    BUILD.set([version], 1.0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    STARTED.set([], now.as_secs_f64());
    let upkeep = move || loop {
        thread::sleep(UPKEEP);
        handle.run_upkeep();
    };
    // Without it nothing is lost, only memory.
    thread::Builder::new().name("measures".to_owned()).spawn(upkeep).ok();
}

pub(crate) fn is_started() -> bool {
    EXPORTER.get().is_some()
}

/// All series as Prometheus reads them; nothing before [`start`].
pub fn render() -> String {
    EXPORTER.get().map(PrometheusHandle::render).unwrap_or_default()
}
