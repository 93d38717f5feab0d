//! What a container uses now: from its control group, or where that can't be seen from the Engine, which takes a second
//! for an answer.

use bollard::models::{ContainerMemoryStats, ContainerStatsResponse};
use bollard::query_parameters::StatsOptionsBuilder;
use bt_model::id::AttemptId;
use futures_util::StreamExt;

use crate::docker::cgroup::GroupLook;
use crate::docker::fault::within;
use crate::docker::{Docker, READ_DEADLINE, name};
use crate::{Error, Sample};

impl Docker {
    /// What the container uses now; nothing if it does not run.
    pub(crate) async fn sample(&self, attempt: AttemptId) -> Result<Option<Sample>, Error> {
        match self.group(attempt).await? {
            GroupLook::Group(group) => {
                self.memory.note(attempt, group.oom_kills().unwrap_or(0));
                return Ok(group.sample());
            }
            GroupLook::NotYet => return Ok(None),
            GroupLook::Hidden => {}
        }
        let stats = self.stats(attempt).await?;
        Ok(stats.map(|stats| read(&stats)).filter(|sample| sample.cpu_micros > 0))
    }

    async fn stats(&self, attempt: AttemptId) -> Result<Option<ContainerStatsResponse>, Error> {
        let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
        let name = name(attempt);
        let mut answers = self.client.stats(&name, Some(options)).boxed();
        let next = async { answers.next().await.transpose() };
        within("stats", READ_DEADLINE, Some(attempt), next).await
    }
}

fn read(stats: &ContainerStatsResponse) -> Sample {
    let cpu = stats.cpu_stats.as_ref().and_then(|cpu| cpu.cpu_usage.as_ref()?.total_usage);
    let blocks = stats.blkio_stats.as_ref().and_then(|io| io.io_service_bytes_recursive.as_ref());
    let written = blocks
        .into_iter()
        .flatten()
        .filter(|entry| entry.op.as_deref().is_some_and(|op| op.eq_ignore_ascii_case("write")));
    Sample {
        memory_bytes: stats.memory_stats.as_ref().map_or(0, memory),
        cpu_micros: cpu.unwrap_or(0) / 1000,
        written_bytes: written.filter_map(|entry| entry.value).sum(),
    }
}

/// As `docker stats` counts: without the file cache that the kernel would give up first.
fn memory(stats: &ContainerMemoryStats) -> u64 {
    let detail = |name: &str| stats.stats.as_ref()?.get(name).copied();
    let cache = detail("total_inactive_file").or_else(|| detail("inactive_file")).unwrap_or(0);
    stats.usage.unwrap_or(0).saturating_sub(cache)
}
