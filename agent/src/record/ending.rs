//! How an attempt ended on this machine, and the pure rules that decide it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bt_engine::{Exit, classify};
use bt_model::encoding::Encoding;
use bt_model::manifest::SHARED_CACHE;
use bt_model::reason::{Reason, ReasonKind};
use bt_model::returns::Returns;
use bt_proto::convert::present;
use bt_proto::v1::{self, report};
use bytes::Bytes;
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::record::usage::Usage;

/// How an attempt ended. Written to disk when it is final, and reported until it is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ending {
    /// Exit code 0, and all outputs are in the store.
    Succeeded {
        outputs: Vec<StoredOutput>,
        /// The JSON object of the metrics, or nothing.
        metrics: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        returns: Option<RecordedReturns>,
    },
    Failed {
        kind: String,
        code: Option<i32>,
        message: Option<String>,
        /// What the job needs could not be had now; later, or elsewhere, it may.
        #[serde(default)]
        for_now: bool,
        /// Its container ran several points and ended so before this one was reported.
        #[serde(default)]
        unreported: bool,
    },
    /// Handed back unfinished: the agent stops.
    Released {
        why: String,
        /// Because the machine is being taken back by its owner.
        #[serde(default)]
        preempted: bool,
        /// This machine can't start jobs of the sweep.
        #[serde(default)]
        refused: bool,
    },
}

/// The last that is written down of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    #[serde(flatten)]
    pub(crate) ending: Ending,
    #[serde(default)]
    pub(crate) usage: Usage,
    /// What its owner should know besides how it ended.
    #[serde(default)]
    pub(crate) remark: String,
}

/// An output that is in the store, or will be with the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredOutput {
    pub(crate) path: String,
    pub(crate) size: u64,
    pub(crate) sha256: Vec<u8>,
    /// It is not in the store yet: it travels with the report.
    #[serde(default)]
    pub(crate) small: bool,
    #[serde(default)]
    pub(crate) encoding: Encoding,
    /// Bytes in the store, where it is not stored as it is.
    #[serde(default)]
    pub(crate) stored_size: u64,
    /// The name that it got in the attempt's directory, where other content had its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) stored_as: String,
    /// What is in it, if it is small; written down beside the ending.
    #[serde(skip)]
    pub(crate) content: Option<Bytes>,
}

/// Returns as they travel, in base64: JSON knows no NaN, and a list of numbers takes several times as long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordedReturns(String);

impl RecordedReturns {
    pub(crate) fn of(returns: &Returns) -> Self {
        Self(BASE64_STANDARD.encode(v1::Returns::from(returns).encode_to_vec()))
    }

    /// None of a record that was damaged: its job has succeeded all the same.
    fn to_wire(&self) -> Option<v1::Returns> {
        v1::Returns::decode(BASE64_STANDARD.decode(&self.0).ok()?.as_slice()).ok()
    }
}

/// Why a container was stopped before it ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    Timeout,
    /// It wrote more than its disk limit, in bytes.
    Disk(u64),
    /// The cache that its sweep shares holds more than it may, in bytes.
    Cache(u64),
    /// It wrote so much, in bytes, that the machine's disk came to its end.
    DiskShort(u64),
    /// The attempt was taken away, or its job cancelled.
    TakenAway,
    /// The agent stops, or has heard nothing for too long.
    Release(String),
}

/// What is to be done with an attempt whose container has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Collect its outputs and publish them.
    Publish,
    /// Report this.
    End(Ending),
    /// Nobody waits for it.
    Discard,
}

/// Decides by how the container ended and by why it was stopped, if it was. A container that ended by itself before
/// it could be stopped is still stopped: what was asked for holds.
pub(crate) fn outcome(exit: &Exit, halt: Option<&Halt>) -> Outcome {
    match halt {
        Some(Halt::TakenAway) => Outcome::Discard,
        Some(Halt::Release(why)) => {
            Outcome::End(Ending::Released { why: why.clone(), preempted: false, refused: false })
        }
        Some(Halt::Timeout) => Outcome::End(Ending::failed(&Reason::Timeout)),
        Some(Halt::Disk(limit)) => {
            let limit = bt_model::resources::ByteSize(*limit);
            let told = format!("more than the {limit} of disk that the job asked for");
            Outcome::End(Ending::failed(&Reason::Outputs(told)))
        }
        Some(Halt::Cache(limit)) => {
            let limit = bt_model::resources::ByteSize(*limit);
            let told = format!(
                "more than {limit} in the caches that the sweep's jobs share ({SHARED_CACHE}); name a directory of your own with \
                 `cache`, or write to the results"
            );
            Outcome::End(Ending::failed(&Reason::Outputs(told)))
        }
        Some(Halt::DiskShort(used)) => Outcome::End(Ending::failed(&disk_is_short(*used))),
        None => match classify(exit) {
            None => Outcome::Publish,
            Some(reason) => Outcome::End(Ending::failed(&reason)),
        },
    }
}

/// Why a job failed that filled the machine's disk without having asked for the room.
pub(crate) fn disk_is_short(used: u64) -> Reason {
    let used = bt_model::resources::ByteSize(used);
    Reason::Outputs(format!(
        "{used} in the results directory, and the machine's disk is at its reserve; ask for the room with `disk`"
    ))
}

impl Ending {
    pub(crate) fn failed(reason: &Reason) -> Self {
        Self::Failed {
            kind: reason.kind().name().to_owned(),
            code: reason.code(),
            message: reason.message().map(str::to_owned),
            for_now: false,
            unreported: false,
        }
    }

    /// As [`failed`](Self::failed), of a point whose container ended so before it was reported: it may be another point's
    /// doing.
    pub(crate) fn unreported(reason: &Reason) -> Self {
        match Self::failed(reason) {
            Self::Failed { kind, code, message, .. } => {
                Self::Failed { kind, code, message, for_now: false, unreported: true }
            }
            other => other,
        }
    }

    /// As [`failed`](Self::failed), where another try, or another machine, may succeed.
    pub(crate) fn hindered(reason: &Reason) -> Self {
        match Self::failed(reason) {
            Self::Failed { kind, code, message, .. } => {
                Self::Failed { kind, code, message, for_now: true, unreported: false }
            }
            other => other,
        }
    }

    /// Why it failed, if it did.
    pub(crate) fn reason(&self) -> Option<Reason> {
        let Self::Failed { kind, code, message, .. } = self else { return None };
        let kind = ReasonKind::ALL.into_iter().find(|known| known.name() == kind);
        Some(Reason::from_parts(kind.unwrap_or(ReasonKind::Agent), *code, message.clone()))
    }

    pub(crate) fn report(&self) -> report::Kind {
        match self {
            Self::Succeeded { outputs, metrics, returns } => report::Kind::Succeeded(v1::Succeeded {
                outputs: outputs.iter().map(StoredOutput::to_wire).collect(),
                metrics: present(Some(metrics.clone())),
                returns: returns.as_ref().and_then(RecordedReturns::to_wire),
            }),
            Self::Failed { for_now, unreported, .. } => report::Kind::Failed(v1::Failed {
                reason: self.reason().as_ref().map(Into::into),
                for_now: *for_now,
                unreported: *unreported,
            }),
            Self::Released { why, preempted, refused } => report::Kind::Released(v1::Released {
                why: why.clone(),
                preempted: *preempted,
                refused: *refused,
            }),
        }
    }
}

impl StoredOutput {
    fn to_wire(&self) -> v1::OutputFile {
        v1::OutputFile {
            path: self.path.clone(),
            size: self.size,
            sha256: self.sha256.clone(),
            encoding: v1::Encoding::from(self.encoding).into(),
            stored_size: present(Some(self.stored_size)),
            stored_as: present(Some(self.stored_as.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use bt_model::returns::SeriesKind;

    use super::*;

    fn exit(code: i64) -> Exit {
        Exit { code, oom: false, error: String::new(), interrupted: false, ran: None }
    }

    #[test]
    fn why_it_was_stopped_outweighs_how_it_ended() {
        let failed = |reason| Outcome::End(Ending::failed(&reason));
        assert_eq!(outcome(&exit(0), None), Outcome::Publish);
        assert_eq!(outcome(&exit(3), None), failed(Reason::Exit(3)));
        assert_eq!(outcome(&exit(143), Some(&Halt::Timeout)), failed(Reason::Timeout));
        assert_eq!(outcome(&exit(0), Some(&Halt::TakenAway)), Outcome::Discard);
    }

    #[test]
    fn returns_travel_as_they_are() {
        let periods = vec![(1_325_548_800, 0.25), (1_325_635_200, -0.5), (1_325_894_400, f64::NAN)];
        let returns = Returns::of(SeriesKind::Returns, periods).unwrap();
        let wire = RecordedReturns::of(&returns).to_wire().unwrap();
        assert_eq!(wire.steps, [1_325_548_800, 86_400, 259_200]);
        let read = Returns::try_from(wire).unwrap();
        assert_eq!(read.times(), returns.times());
        assert!(read.values()[..2] == [0.25, -0.5] && read.values()[2].is_nan());
        for wrong in [
            v1::Returns { steps: vec![1, 0], values: vec![0.0, 0.0] },
            v1::Returns { steps: vec![1], values: vec![] },
            v1::Returns { steps: vec![i64::MAX, 1], values: vec![0.0, 0.0] },
        ] {
            assert!(Returns::try_from(wrong).is_err());
        }
        assert_eq!(RecordedReturns("#".into()).to_wire(), None);
    }

    #[test]
    fn an_ending_survives_the_disk() {
        let outputs = StoredOutput {
            path: "a.pkl".to_owned(),
            size: 3,
            sha256: vec![0, 255],
            small: true,
            encoding: Encoding::default(),
            stored_size: 0,
            stored_as: String::new(),
            content: None,
        };
        let returns =
            Returns::of(SeriesKind::Returns, vec![(1_325_548_800, 0.25), (1_325_635_200, f64::NAN)]);
        let returns = returns.unwrap();
        let endings = [
            Ending::failed(&Reason::Image("no such image: x:1".into())),
            Ending::Succeeded {
                outputs: vec![outputs],
                metrics: String::new(),
                returns: Some(RecordedReturns::of(&returns)),
            },
            Ending::Released { why: "it drains".into(), preempted: true, refused: false },
        ];
        for ending in endings {
            let ended = Ended {
                ending,
                usage: Usage { wall_millis: Some(7), ..Usage::default() },
                remark: "x".into(),
            };
            let read: Ended = serde_json::from_slice(&serde_json::to_vec(&ended).unwrap()).unwrap();
            assert_eq!(read, ended);
        }
    }
}
