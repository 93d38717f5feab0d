//! `btctl submit --suggest-resources SWEEP`: what its jobs would have needed, by what they used.

use bt_documents::{Measured, SuggestedResources};
use futures_util::StreamExt;

use bt_model::resources::ByteSize;
use bt_proto::v1;

use crate::client::Client;
use crate::error::Error;
use crate::output::{self, Json, OutputFormat, say};
use crate::settings::Settings;

/// Memory is asked for in steps of this many bytes, with a quarter above the largest peak.
const MEMORY_STEP: u64 = 64 << 20;
/// Cpus are asked for in quarters.
const CPU_STEP: f64 = 0.25;

/// What the jobs of a sweep used: the largest peak of memory, and cpu time by running time.
#[derive(Debug, Default)]
struct UsedResources {
    jobs: u32,
    peak_memory_bytes: u64,
    /// Of the jobs that ran long enough to tell, the most that one used on average.
    cpus: f64,
    seconds: f64,
}

impl UsedResources {
    fn add(&mut self, job: &v1::Job) {
        let usage = job.usage.unwrap_or_default();
        let Some(peak) = usage.peak_memory_bytes else { return };
        self.jobs += 1;
        self.peak_memory_bytes = self.peak_memory_bytes.max(peak);
        if let (Some(millis), Some(micros)) = (usage.wall_millis, usage.cpu_micros) {
            let ran = millis as f64 / 1e3;
            self.seconds = self.seconds.max(ran);
            if ran >= 1.0 {
                self.cpus = self.cpus.max(micros as f64 / 1e6 / ran);
            }
        }
    }

    fn memory(&self) -> u64 {
        (self.peak_memory_bytes + self.peak_memory_bytes / 4).div_ceil(MEMORY_STEP) * MEMORY_STEP
    }

    fn cpus(&self) -> f64 {
        ((self.cpus / CPU_STEP).ceil() * CPU_STEP).max(CPU_STEP)
    }
}

pub(super) async fn suggest(settings: &Settings, sweep: &str, format: OutputFormat) -> Result<(), Error> {
    let client = Client::connect(settings).await?;
    let request = v1::ListJobsRequest { sweep: sweep.to_owned(), ..v1::ListJobsRequest::default() };
    let mut jobs = client.jobs(request).await?;
    let mut used = UsedResources::default();
    while let Some(job) = jobs.next().await {
        used.add(&job?);
    }
    if used.jobs == 0 {
        return Err(Error::Failed(format!(
            "no job of sweep {sweep} was measured: none has finished, or each ran for less than a tenth of a second"
        )));
    }
    let (memory, cpus) = (ByteSize(used.memory()), used.cpus());
    if format == OutputFormat::Json {
        return output::print_json(&Json::of(&SuggestedResources {
            cpus,
            memory_bytes: used.memory(),
            measured: Measured {
                jobs: used.jobs,
                peak_memory_bytes: used.peak_memory_bytes,
                cpus: used.cpus,
                longest_seconds: used.seconds,
            },
        })?);
    }
    say(&format!(
        "{} jobs were measured: at most {} of memory and {:.2} cpus, {:.0} s for the longest",
        used.jobs,
        ByteSize(used.peak_memory_bytes),
        used.cpus,
        used.seconds
    ));
    // What stands in a manifest can be read back.
    output::print(&format!("resources: {{ cpus: {cpus}, memory: {} }}", memory.to_string().replace(' ', "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suggestion_leaves_room_and_is_round() {
        let mut used = UsedResources { peak_memory_bytes: 200 << 20, cpus: 0.62, ..UsedResources::default() };
        assert_eq!((used.memory() >> 20, used.cpus()), (256, 0.75));
        used.peak_memory_bytes = 1;
        used.cpus = 0.0;
        assert_eq!((used.memory() >> 20, used.cpus()), (64, 0.25));
    }
}
