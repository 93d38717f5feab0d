//! Reports: what an agent says of an attempt goes through the ledger, and is acknowledged after its commit.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use bt_model::encoding::Encoding;
use bt_model::id::AgentId;
use bt_model::layout::is_other_name;
use bt_model::reason::Reason;
use bt_model::retry::Ending;
use bt_model::returns::Returns;
use bt_model::state::AttemptEvent;
use bt_proto::convert::{Malformed, present};
use bt_proto::v1::{self, coordinator_message, report};
use serde_json::json;
use tonic::Status;
use tracing::info;

use super::{Agents, attempt_id};
use crate::document::CHANGED;
use crate::queue::{Error, Given, Measured, News, Publication, PublishedFile, Recorded, Report};
use crate::rpc::status;
use crate::traced;

/// Bytes of what an agent may say of an attempt besides how it ended.
const LONGEST_REMARK: usize = 2000;

impl Agents {
    /// Puts into the store what came with a report, hands the report in, and acknowledges it after its commit.
    pub(super) async fn take_report(
        self,
        agent: AgentId,
        session: u64,
        report: v1::Report,
    ) -> Result<(), Status> {
        let attempt = attempt_id(&report.attempt).map_err(status::malformed)?;
        let kind = report.kind.ok_or(Malformed::Missing("report.kind"));
        let kind = kind.map_err(status::malformed)?;
        let advanced = |event, image_id| News::Advanced { event, image_id };
        let image_id = present(report.image_id);
        if image_id.is_some() {
            self.sessions.runs(agent, attempt);
        }
        let measured = report.usage.map_or_else(Measured::default, measured);
        let given = Box::new(given(report.volume_fingerprints, report.given));
        let remark = match (present(report.remark), &kind) {
            (Some(remark), _) => remark_of(&remark),
            (None, report::Kind::Released(released)) => remark_of(&released.why),
            (None, _) => String::new(),
        };
        let ended_with = |ending, publication| News::Ended {
            ending,
            publication,
            image_id: image_id.clone(),
            measured,
            given: given.clone(),
            remark: remark.clone(),
        };
        let ended = |ending| ended_with(ending, Publication::default());
        let attached = || self.attached(agent, session, attempt, report.files, present(report.log));
        let news = match kind {
            report::Kind::Preparing(_) => advanced(AttemptEvent::Prepares, None),
            report::Kind::Running(running) => {
                self.sessions.runs(agent, attempt);
                advanced(AttemptEvent::Runs, Some(running.image_id))
            }
            report::Kind::Publishing(_) => advanced(AttemptEvent::Publishes, None),
            report::Kind::Succeeded(succeeded) => {
                let mut publication = publication(succeeded).map_err(status::malformed)?;
                let stored = match attached().await? {
                    Some(attached) => self.store_attached(&attached, &mut publication).await,
                    // Not this agent's any more: Postgres refuses the report.
                    None => Ok(()),
                };
                match stored {
                    Ok(()) => ended_with(Ending::Published, publication),
                    Err(reason) => ended(Ending::Failed(reason)),
                }
            }
            report::Kind::Failed(failed) => {
                let reason = failed.reason.ok_or(Malformed::Missing("failed.reason"));
                let reason = reason.and_then(Reason::try_from).map_err(status::malformed)?;
                info!(attempt.id = %attempt, agent.id = %agent, "attempt failed: {reason}");
                if let Some(attached) = attached().await? {
                    self.store_log(&attached).await;
                }
                if failed.unreported {
                    ended(Ending::Hindered(reason))
                } else if failed.for_now {
                    self.sessions.refused(agent, attempt, &reason.to_string());
                    ended(Ending::Hindered(reason))
                } else {
                    ended(Ending::Failed(reason))
                }
            }
            report::Kind::Released(v1::Released { preempted, why, refused }) => {
                if refused {
                    info!(attempt.id = %attempt, agent.id = %agent, "the agent can't start it: {why}");
                    self.sessions.refused(agent, attempt, &why);
                } else if !preempted {
                    self.sessions.handed_back(agent, &why);
                }
                if let Some(attached) = attached().await? {
                    self.store_log(&attached).await;
                }
                ended(if preempted { Ending::Preempted } else { Ending::Returned })
            }
        };
        let stops = || Status::unavailable("the coordinator stops");
        let outcome = match &news {
            News::Ended { ending: Ending::Published, .. } => Some("succeeded"),
            News::Ended { .. } => Some("other"),
            News::Advanced { .. } => None,
        };
        let place = outcome.and_then(|outcome| Some((self.sessions.place(agent, attempt)?, outcome)));
        let began = SystemTime::now();
        let posted = self.ledger.post(Report { agent, session, attempt, news }).await;
        let accepted = match posted.ok_or_else(stops)?.await {
            Ok(Ok(Recorded::Done(accepted))) => accepted,
            Ok(Ok(Recorded::Superseded)) => return Err(status::queue(Error::Superseded(agent))),
            Ok(Err(error)) => return Err(status::shared(&error)),
            Err(_) => return Err(stops()),
        };
        if let Some((place, outcome)) = place.filter(|_| accepted) {
            traced::committed(&place, outcome, began);
        }
        let ack = v1::Ack { sequence: report.sequence, accepted };
        self.sessions.send(agent, coordinator_message::Kind::Ack(ack));
        Ok(())
    }
}

/// What is neither a fingerprint nor a word that stands for one is left out.
fn given(mut fingerprints: HashMap<String, String>, given: Option<v1::Given>) -> Given {
    let is_digits = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    fingerprints.retain(|name, word| !name.contains('\0') && (is_digits(word) || word == CHANGED));
    Given {
        fingerprints: Some(fingerprints).filter(|known| !known.is_empty()).map(|known| json!(known)),
        circumstances: given.map(|given| {
            // Postgres keeps no NUL in a text.
            let text = |text: String| text.replace('\0', "\u{fffd}");
            json!({
                "threads": given.threads,
                "cpu_millis": given.cpu_millis,
                "memory_bytes": given.memory_bytes,
                "shm_bytes": given.shm_bytes,
                "gpus": given.gpus,
                "timezone": text(given.timezone),
                "user": text(given.user.unwrap_or_default()),
                "version": text(given.version),
                "engine": text(given.engine),
                "os": text(given.os),
                "arch": text(given.arch),
                "preloaded": given.warm.map(|warm| warm.preloaded.into_iter().map(text).collect::<Vec<_>>()),
            })
        }),
    }
}

/// What an agent says of an attempt besides how it ended, as Postgres can keep it.
fn remark_of(said: &str) -> String {
    let end = said.floor_char_boundary(LONGEST_REMARK);
    said[..end].replace('\0', "\u{fffd}")
}

fn measured(usage: v1::Usage) -> Measured {
    let v1::Usage { peak_memory_bytes, cpu_micros, written_bytes, wall_millis } = usage;
    Measured { peak_memory_bytes, cpu_micros, written_bytes, wall_millis }
}

fn publication(succeeded: v1::Succeeded) -> Result<Publication, Malformed> {
    let files = succeeded.outputs.into_iter().map(|output| {
        let encoding = Encoding::from(output.encoding());
        let sha256 = output.sha256.as_slice().try_into();
        let sha256 = sha256.map_err(|_| Malformed::Value {
            field: "sha256",
            value: format!("{} bytes", output.sha256.len()),
            expected: "32 bytes",
        })?;
        let stored_size = (encoding != Encoding::None).then_some(output.stored_size.unwrap_or_default());
        let first_name = encoding.stored_as(&output.path);
        let other_name = present(output.stored_as).filter(|name| *name != first_name);
        if let Some(name) = &other_name
            && !is_other_name(name, &first_name)
        {
            return Err(Malformed::Value {
                field: "stored_as",
                value: name.chars().take(80).collect(),
                expected: "the name that was given to the file when it was stored",
            });
        }
        let path = output.path;
        Ok(PublishedFile { path, size: output.size, sha256, encoding, stored_size, other_name })
    });
    let metrics = present(succeeded.metrics);
    if let Some(text) = &metrics {
        // The agent has checked it; this keeps a broken one from breaking the transaction.
        let numbers = serde_json::from_str::<BTreeMap<String, f64>>(text);
        numbers.map_err(|_| Malformed::Value {
            field: "metrics",
            value: text.chars().take(80).collect(),
            expected: "a JSON object of numbers",
        })?;
    }
    let returns = succeeded.returns.map(Returns::try_from).transpose();
    let returns = returns.map_err(|error| Malformed::Value {
        field: "returns",
        value: error.to_string(),
        expected: "a value for each time, and times that rise",
    })?;
    let returns = returns.map(Arc::new);
    Ok(Publication { files: files.collect::<Result<_, Malformed>>()?, metrics, returns })
}
