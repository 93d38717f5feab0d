//! `btctl retry`: queues jobs again that failed, were cancelled or were pruned.

use bt_model::manifest::parse_reason;
use bt_proto::v1;

use crate::batch::BatchOutcome;
use crate::client::Client;
use crate::error::Error;
use crate::output::say;
use crate::settings::Settings;
use crate::target::{Target, resolve_to_change};

/// Queue failed or cancelled jobs again, or with --pruned those that were pruned; jobs that succeeded stay as they are.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  btctl retry sma-cross\n  btctl retry sma-cross --failed\n  btctl retry sma-cross --failed=oom,timeout\n  btctl retry sma-cross/17\n  btctl retry sma-cross --pruned"
)]
pub(crate) struct Retry {
    #[arg(required = true, value_name = "SWEEP[/JOB]")]
    targets: Vec<Target>,
    /// Retry failed jobs only, not cancelled ones; with reasons (exit, signal, oom, timeout, nproc, image, outputs),
    /// only jobs that failed for one of them.
    #[arg(long, value_name = "REASON,...", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    failed: Option<String>,
    /// Retry pruned jobs, and no others. The manifest's `stop_when` holds for them again.
    #[arg(long, conflicts_with = "failed")]
    pruned: bool,
}

impl Retry {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let reasons = self.failed.iter().flat_map(|list| list.split(',')).filter(|name| !name.is_empty());
        let kinds = reasons
            .map(|name| parse_reason(name).map_err(|error| Error::Usage(format!("--failed: {error}"))));
        let kinds = kinds.collect::<Result<Vec<_>, _>>()?;
        let client = Client::connect(settings).await?;
        let mut batch = BatchOutcome::of_named(self.targets.len());
        for target in self.targets {
            let Target { sweep, job } = &target;
            let Some(found) = batch.note(&target.to_string(), resolve_to_change(&client, sweep).await)?
            else {
                continue;
            };
            let request = v1::RetryRequest {
                sweep: found.id,
                jobs: job.iter().copied().collect(),
                failed_only: self.failed.is_some(),
                reasons: kinds.iter().map(|kind| kind.name().to_owned()).collect(),
                kinds: kinds.iter().map(|kind| v1::ReasonKind::from(*kind).into()).collect(),
                pruned: self.pruned,
            };
            let outcome = client.retry(request).await;
            let Some(reply) = batch.note(&target.to_string(), outcome)? else { continue };
            say(&match (job, reply.queued) {
                (Some(job), 0) if self.pruned => {
                    format!("{sweep}/{job}: it was not pruned; nothing is queued")
                }
                (None, 0) if self.pruned => format!("{sweep}: no job was pruned; nothing is queued"),
                (Some(job), 0) => format!(
                    "{sweep}/{job}: it has neither failed nor been cancelled; nothing is queued (--pruned queues a pruned one)"
                ),
                (None, 0) => format!("{sweep}: no job has failed or been cancelled; nothing is queued"),
                (Some(job), _) => format!("{sweep}/{job}: queued again"),
                (None, queued) => format!("{sweep}: {queued} queued again"),
            });
            if !reply.tested.is_empty() {
                let windows: Vec<_> = reply.tested.iter().map(u32::to_string).collect();
                say(&format!(
                    "{sweep}: the tests of windows {} have their parameters already, and keep them",
                    windows.join(", ")
                ));
            }
        }
        batch.finish()
    }
}
