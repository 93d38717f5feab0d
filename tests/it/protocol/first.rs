//! Protocol 1 as its peers knew it, written by hand and never changed: by it the tests read what today's peers send.

use std::collections::HashMap;

/// What an agent said.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AgentMessage {
    #[prost(oneof = "agent_message::Kind", tags = "1, 2, 3")]
    pub(super) kind: Option<agent_message::Kind>,
}

pub(super) mod agent_message {
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(in super::super) enum Kind {
        #[prost(message, tag = "1")]
        Hello(super::Hello),
        #[prost(message, tag = "2")]
        Heartbeat(super::Heartbeat),
        #[prost(message, tag = "3")]
        Report(super::Report),
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Hello {
    #[prost(string, tag = "1")]
    pub(super) agent_id: String,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(uint64, tag = "3")]
    pub(super) session: u64,
    #[prost(message, optional, tag = "4")]
    pub(super) capacity: Option<Resources>,
    #[prost(map = "string, string", tag = "5")]
    pub(super) labels: HashMap<String, String>,
    #[prost(message, repeated, tag = "6")]
    pub(super) volumes: Vec<OfferedVolume>,
    #[prost(string, tag = "7")]
    pub(super) version: String,
    #[prost(string, tag = "8")]
    pub(super) engine: String,
    #[prost(string, repeated, tag = "9")]
    pub(super) attempts: Vec<String>,
    #[prost(uint64, tag = "11")]
    pub(super) job_memory_bytes: u64,
    #[prost(string, tag = "13")]
    pub(super) place: String,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Resources {
    #[prost(uint64, tag = "1")]
    pub(super) cpu_millis: u64,
    #[prost(uint64, tag = "2")]
    pub(super) memory_bytes: u64,
    #[prost(uint32, tag = "3")]
    pub(super) gpus: u32,
    #[prost(uint64, tag = "4")]
    pub(super) disk_bytes: u64,
    #[prost(uint32, tag = "5")]
    pub(super) jobs: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct OfferedVolume {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(bool, tag = "2")]
    pub(super) read_only: bool,
    #[prost(bool, tag = "3")]
    pub(super) fingerprinted: bool,
    #[prost(string, tag = "4")]
    pub(super) fingerprint: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Heartbeat {
    #[prost(string, repeated, tag = "1")]
    pub(super) attempts: Vec<String>,
    #[prost(string, tag = "2")]
    pub(super) unhealthy: String,
    #[prost(bool, tag = "3")]
    pub(super) draining: bool,
    #[prost(string, tag = "5")]
    pub(super) transfer: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Report {
    #[prost(uint64, tag = "1")]
    pub(super) sequence: u64,
    #[prost(string, tag = "2")]
    pub(super) attempt: String,
    #[prost(oneof = "report::Kind", tags = "3, 4, 5, 6, 7, 9")]
    pub(super) kind: Option<report::Kind>,
    #[prost(message, repeated, tag = "10")]
    pub(super) files: Vec<SmallFile>,
    #[prost(bytes = "vec", tag = "11")]
    pub(super) log: Vec<u8>,
    #[prost(string, tag = "12")]
    pub(super) image_id: String,
    #[prost(message, optional, tag = "13")]
    pub(super) usage: Option<Usage>,
    #[prost(string, tag = "16")]
    pub(super) remark: String,
}

pub(super) mod report {
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(in super::super) enum Kind {
        #[prost(message, tag = "3")]
        Preparing(super::Empty),
        #[prost(message, tag = "4")]
        Running(super::Running),
        #[prost(message, tag = "5")]
        Publishing(super::Empty),
        #[prost(message, tag = "6")]
        Succeeded(super::Succeeded),
        #[prost(message, tag = "7")]
        Failed(super::Empty),
        #[prost(message, tag = "9")]
        Released(super::Empty),
    }
}

/// A message without fields, or one whose fields are of no interest here.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Empty {}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Running {
    #[prost(string, tag = "1")]
    pub(super) image_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Succeeded {
    #[prost(message, repeated, tag = "1")]
    pub(super) outputs: Vec<OutputFile>,
    #[prost(string, tag = "2")]
    pub(super) metrics: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct OutputFile {
    #[prost(string, tag = "1")]
    pub(super) path: String,
    #[prost(uint64, tag = "2")]
    pub(super) size: u64,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) sha256: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SmallFile {
    #[prost(string, tag = "1")]
    pub(super) path: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) data: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Usage {
    #[prost(uint64, optional, tag = "1")]
    pub(super) peak_memory_bytes: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) cpu_micros: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PinImageRequest {
    #[prost(string, tag = "1")]
    pub(super) agent_id: String,
    #[prost(uint64, tag = "2")]
    pub(super) session: u64,
    #[prost(string, tag = "3")]
    pub(super) attempt: String,
    #[prost(string, tag = "4")]
    pub(super) image: String,
}

/// What a coordinator said.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CoordinatorMessage {
    #[prost(oneof = "coordinator_message::Kind", tags = "1, 2, 3, 4, 5")]
    pub(super) kind: Option<coordinator_message::Kind>,
}

pub(super) mod coordinator_message {
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(in super::super) enum Kind {
        #[prost(message, tag = "1")]
        Welcome(super::Welcome),
        #[prost(message, tag = "2")]
        Assign(super::Assign),
        #[prost(message, tag = "3")]
        Stop(super::Stop),
        #[prost(message, tag = "4")]
        Ack(super::Ack),
        #[prost(message, tag = "5")]
        Renewed(super::Empty),
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Welcome {
    #[prost(uint32, tag = "2")]
    pub(super) heartbeat_ms: u32,
    #[prost(uint32, tag = "3")]
    pub(super) lease_ms: u32,
    #[prost(string, tag = "4")]
    pub(super) store: String,
    #[prost(string, tag = "5")]
    pub(super) store_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Assign {
    #[prost(message, repeated, tag = "1")]
    pub(super) assignments: Vec<Assignment>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Assignment {
    #[prost(string, tag = "1")]
    pub(super) attempt: String,
    #[prost(string, tag = "2")]
    pub(super) sweep: String,
    #[prost(uint32, tag = "3")]
    pub(super) job: u32,
    #[prost(uint32, tag = "4")]
    pub(super) attempt_number: u32,
    #[prost(string, tag = "5")]
    pub(super) sweep_name: String,
    #[prost(string, tag = "6")]
    pub(super) manifest: String,
    #[prost(string, tag = "7")]
    pub(super) parameters: String,
    #[prost(string, tag = "8")]
    pub(super) image_pin: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Stop {
    #[prost(string, tag = "1")]
    pub(super) attempt: String,
    #[prost(int32, tag = "2")]
    pub(super) ruling: i32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Ack {
    #[prost(uint64, tag = "1")]
    pub(super) sequence: u64,
    #[prost(bool, tag = "2")]
    pub(super) accepted: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PinImageReply {
    #[prost(string, tag = "1")]
    pub(super) image: String,
}
