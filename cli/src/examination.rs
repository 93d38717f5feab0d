//! What is wrong with a cluster, as far as a client finds out: what the coordinator says of itself, and what can be seen of
//! the agents and of this machine.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bt_documents::{Finding, Level};
use bt_proto::v1;

use crate::client::Client;
use crate::error::Error;

/// Seconds by which two clocks may differ.
const SKEW: f64 = 2.0;
/// How long before its end an agent's certificate should have been renewed.
const SOON: Duration = Duration::from_secs(86_400);
const NTP: &str = "let the machines keep time by NTP (timedatectl set-ntp true)";

/// Asks the coordinator, and looks at its agents and at the containers on this machine, counted by agent.
pub(crate) async fn examine(
    client: &Client,
    agents: &[v1::Agent],
    containers: &BTreeMap<String, u32>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let began = SystemTime::now();
    match client.examine().await {
        Ok(reply) => {
            found.push(version("coordinator", &reply.version));
            found.extend(clock(began, &reply));
            found.extend(reply.findings.into_iter().map(from_wire));
        }
        Err(Error::Refused(why)) => {
            let remedy = "ask with a token of an operator or an administrator";
            found.push(Finding::warning("coordinator", format!("it does not say how it is: {why}"), remedy));
        }
        Err(error) => {
            let remedy = "a coordinator of an earlier version can't say it; upgrade it";
            found.push(Finding::warning(
                "coordinator",
                format!("it does not say how it is: {error}"),
                remedy,
            ));
        }
    }
    for agent in agents {
        found.extend(of_agent(agent));
    }
    let ready = agents.iter().filter(|agent| agent.state() == v1::AgentState::Ready).count();
    found.push(match (agents.len(), ready) {
        (0, _) => Finding::warning("agents", "there are none", "start one on each machine: btctl agent"),
        (all, 0) => Finding::error("agents", format!("none of {all} takes jobs"), None),
        (all, ready) => Finding::ok("agents", format!("{ready} of {all} take jobs")),
    });
    found.extend(left_behind(agents, containers));
    found
}

fn version(about: &str, theirs: &str) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    match theirs == own {
        true => Finding::ok(about, format!("version {theirs}")),
        false => Finding::warning(
            about,
            format!("version {theirs}, and this btctl is {own}"),
            "versions that follow each other work together; upgrade the older one soon",
        ),
    }
}

fn clock(began: SystemTime, reply: &v1::ExamineReply) -> Option<Finding> {
    let now: SystemTime = reply.now?.try_into().ok()?;
    // It was read some time between the question and the answer.
    let ended = SystemTime::now();
    let behind = now.duration_since(ended).unwrap_or_default();
    let ahead = began.duration_since(now).unwrap_or_default();
    let skew = behind.max(ahead).as_secs_f64();
    Some(match skew > SKEW {
        true => {
            Finding::warning("clock", format!("this machine's and Postgres's differ by {skew:.0} s"), NTP)
        }
        false => Finding::ok("clock", "this machine's and Postgres's agree"),
    })
}

fn from_wire(finding: v1::Finding) -> Finding {
    let level = match finding.level() {
        v1::FindingLevel::Error => Level::Error,
        v1::FindingLevel::Ok => Level::Ok,
        v1::FindingLevel::Warning | v1::FindingLevel::Unspecified => Level::Warning,
    };
    Finding { about: finding.about, level, found: finding.found, remedy: finding.remedy }
}

/// What is wrong with an agent; nothing if nothing is.
fn of_agent(agent: &v1::Agent) -> Vec<Finding> {
    use v1::AgentState::{Offline, Unavailable, Unhealthy};
    let about = format!("agent {}", agent.name);
    let mut found = Vec::new();
    let mut warn = |what: String, remedy: &str| found.push(Finding::warning(&about, what, remedy));
    match agent.state() {
        Offline => warn(
            agent.state_text.clone(),
            "look at its machine; if it is gone for good, nothing needs to be done",
        ),
        Unhealthy => {
            warn(agent.state_text.clone(), "put that right on its machine; it takes jobs again by itself")
        }
        Unavailable => warn(
            agent.state_text.clone(),
            "nothing needs to be done; its owner's settings say when it takes jobs (--available and others)",
        ),
        _ => {}
    }
    if agent.state() != Offline {
        let own = env!("CARGO_PKG_VERSION");
        if agent.version != own {
            warn(
                format!("version {}, and this btctl is {own}", agent.version),
                "upgrade it; its jobs run on",
            );
        }
        let ahead = agent.about.get("clock_ahead_seconds").and_then(|ahead| ahead.parse::<f64>().ok());
        if let Some(ahead) = ahead.filter(|ahead| ahead.abs() > SKEW) {
            let side = if ahead > 0.0 { "ahead" } else { "behind" };
            warn(format!("its clock was {:.0} s {side} when it connected", ahead.abs()), NTP);
        }
        let expires = agent.certificate_expires.and_then(|at| SystemTime::try_from(at).ok());
        if expires.is_some_and(|at| at < SystemTime::now() + SOON) {
            warn(
                "its certificate runs out within a day, and was not renewed".to_owned(),
                "look at its log; it can join anew with a token (btctl agent --join)",
            );
        }
    }
    if let Some(place) = &agent.contested_by {
        warn(
            format!("another agent at {place} has a copy of its state directory"),
            "remove the file agent-id from the copy, or give it a --state-dir of its own",
        );
    }
    found
}

/// Containers here whose agent is not connected: nobody looks after them.
fn left_behind(agents: &[v1::Agent], containers: &BTreeMap<String, u32>) -> Vec<Finding> {
    use v1::AgentState::{NotConnected, Offline};
    let is_there = |id: &str| {
        let known = agents.iter().find(|agent| agent.id == id);
        known.is_some_and(|agent| !matches!(agent.state(), Offline | NotConnected))
    };
    let left = containers.iter().filter(|(agent, _)| !is_there(agent));
    let left = left.map(|(agent, count)| {
        Finding::warning(
            "containers",
            format!("{count} on this machine are of agent {agent}, which is not connected"),
            format!(
                "start that agent again with its --state-dir, and it takes them back or removes them; if it is gone for good: \
                 docker rm -f $(docker ps -aq --filter label=btctl.agent={agent})"
            ),
        )
    });
    left.collect()
}
