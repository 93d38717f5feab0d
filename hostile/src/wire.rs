//! Messages of agents, clients and coordinators, as they come from the wire, and what is made of them.

use bt_documents as documents;
use bt_model::log::LogLine;
use bt_model::manifest::Manifest;
use bt_model::parameters::Parameters;
use bt_model::progress::Progress;
use bt_model::reason::Reason;
use bt_model::resources::Resources;
use bt_model::returns::Returns;
use bt_proto::{convert, protocol, v1};
use prost::Message;

use crate::refusal::{self, read};

/// Reads a message, which is written and read again the same.
fn decoded<M: Message + Default + std::fmt::Debug>(input: &[u8]) -> Option<M> {
    let message = read(M::decode(input))?;
    let written = message.encode_to_vec();
    let again = M::decode(&written[..]).expect("it was written as it should be");
    // By their bytes, since a NaN is not equal to itself.
    assert!(again.encode_to_vec() == written, "{message:?} comes back as {again:?}");
    Some(message)
}

/// What an agent sends to a coordinator. The first byte chooses the message.
pub(crate) fn agent(input: &[u8]) {
    let Some((kind, rest)) = input.split_first() else { return };
    match kind % 8 {
        0 => session(rest),
        1 => {
            if let Some(returns) = decoded::<v1::Returns>(rest).and_then(|sent| read(Returns::try_from(sent)))
            {
                assert!(
                    returns.times().is_sorted() && !returns.values().iter().any(|value| value.is_infinite())
                );
            }
        }
        2 => {
            if let Some(reason) = decoded::<v1::Reason>(rest).and_then(|sent| read(Reason::try_from(sent))) {
                assert_eq!(Reason::try_from(v1::Reason::from(&reason)).ok(), Some(reason));
            }
        }
        3 => {
            if let Some(line) = decoded::<v1::LogLine>(rest).and_then(|sent| read(LogLine::try_from(sent))) {
                assert_eq!(LogLine::try_from(v1::LogLine::from(line.clone())).ok(), Some(line));
            }
        }
        4 => drop(decoded::<v1::UploadRequest>(rest)),
        5 => drop(decoded::<v1::PushLogRequest>(rest)),
        6 => drop(decoded::<v1::CertifyRequest>(rest)),
        _ => drop(decoded::<v1::AnswerFilesRequest>(rest)),
    }
}

fn session(input: &[u8]) {
    use v1::agent_message::Kind;
    match decoded::<v1::AgentMessage>(input).and_then(|message| message.kind) {
        Some(Kind::Hello(hello)) => {
            read(protocol::agree(hello.protocols));
        }
        Some(Kind::Report(report)) => {
            use v1::report::Kind as Ending;
            match report.kind {
                Some(Ending::Failed(v1::Failed { reason: Some(reason), .. })) => {
                    read(Reason::try_from(reason));
                }
                Some(Ending::Succeeded(v1::Succeeded { returns: Some(returns), .. })) => {
                    read(Returns::try_from(returns));
                }
                _ => {}
            }
        }
        Some(Kind::JobsProgress(said)) => {
            for progress in said.attempts.into_iter().filter_map(|attempt| attempt.progress) {
                read(Progress::from_parts(progress.fraction, progress.done, progress.of));
                read(documents::Progress::try_from(&progress));
            }
        }
        Some(Kind::Heartbeat(_)) | None => {}
    }
}

/// What clients send to coordinators, and coordinators to clients. The first byte chooses the message.
pub(crate) fn client(input: &[u8]) {
    let Some((kind, rest)) = input.split_first() else { return };
    match kind % 16 {
        0 => submit(rest),
        1 => {
            if let Some(v1::add_jobs_request::Kind::Rows(rows)) =
                decoded::<v1::AddJobsRequest>(rest).and_then(|message| message.kind)
            {
                parameters(&rows);
            }
        }
        2 => document(decoded::<v1::Job>(rest).and_then(|job| read(documents::Job::try_from(&job)))),
        3 => document(decoded::<v1::Sweep>(rest).and_then(|sweep| read(documents::Sweep::try_from(&sweep)))),
        4 => {
            let shown = decoded::<v1::ShowSweepReply>(rest);
            let report = shown.and_then(|shown| read(documents::SweepReport::try_from(shown)));
            document(report.and_then(|report| read(documents::ShownSweep::try_from(&report))));
        }
        5 => {
            if let Some(agent) = decoded::<v1::Agent>(rest) {
                let offer = convert::offer(&agent);
                assert!(Resources::default().covers(&offer.capacity.less(&offer.capacity)));
                document(read(documents::Agent::try_from(&agent)));
            }
        }
        6 => document(
            decoded::<v1::Attempt>(rest).and_then(|attempt| read(documents::Attempt::try_from(&attempt))),
        ),
        7 => document(
            decoded::<v1::RunningJob>(rest).and_then(|job| read(documents::RunningJob::try_from(&job))),
        ),
        8 => document(
            decoded::<v1::ShowWalkReply>(rest).and_then(|walk| read(documents::Walk::try_from(walk))),
        ),
        9 => document(
            decoded::<v1::ExplainReply>(rest).and_then(|told| read(documents::Explained::try_from(told))),
        ),
        10 => document(
            decoded::<v1::AuditEntry>(rest).and_then(|entry| read(documents::AuditEntry::try_from(&entry))),
        ),
        11 => document(decoded::<v1::Token>(rest).and_then(|token| read(documents::Token::try_from(&token)))),
        12 => document(decoded::<v1::Told>(rest).and_then(|told| read(documents::Told::try_from(&told)))),
        13 => drop(decoded::<v1::PushImageRequest>(rest)),
        14 => drop(decoded::<v1::ImportMetricsRequest>(rest)),
        _ => {
            if let Some(v1::coordinator_message::Kind::Assign(assign)) =
                decoded::<v1::CoordinatorMessage>(rest).and_then(|message| message.kind)
            {
                for assignment in assign.assignments.iter().take(5) {
                    read(Manifest::from_json(&assignment.manifest));
                    read(Parameters::from_json(&assignment.parameters));
                }
            }
        }
    }
}

fn submit(input: &[u8]) {
    match decoded::<v1::SubmitRequest>(input).and_then(|message| message.kind) {
        Some(v1::submit_request::Kind::Header(header)) => {
            if let Some(manifest) = read(Manifest::from_json(&header.manifest)) {
                read(manifest.admit());
            }
        }
        Some(v1::submit_request::Kind::Rows(rows)) => parameters(&rows),
        None => {}
    }
}

fn parameters(rows: &v1::ParameterRows) {
    for row in rows.rows.iter().take(20) {
        read(Parameters::from_json(row));
    }
}

/// What commands print is JSON on one line, so that no value of it ends the line.
fn document(document: Option<impl serde::Serialize>) {
    if let Some(document) = document {
        refusal::harmless(&serde_json::to_string(&document).expect("it is JSON"));
    }
}
