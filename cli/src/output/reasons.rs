//! Why jobs wait, as lines for people: equal reasons of several agents are one line, and agents that are not connected
//! are left out unless all are.

use bt_proto::v1;

/// Agents that a line names.
const NAMED: usize = 3;

/// A line for each reason: those that hold for all agents first, then those of most agents.
pub(crate) fn lines(waiting: &[v1::Waiting]) -> Vec<String> {
    let (general, agents): (Vec<_>, Vec<_>) = waiting.iter().partition(|reason| reason.agent.is_none());
    let (offline, connected): (Vec<_>, Vec<_>) = agents.into_iter().partition(|reason| reason.offline);
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    let relevant = if connected.is_empty() { offline } else { connected };
    for reason in relevant {
        match groups.iter_mut().find(|(why, _)| *why == reason.why) {
            Some((_, agents)) => agents.push(reason.agent()),
            None => groups.push((&reason.why, vec![reason.agent()])),
        }
    }
    // The sort is stable: of equal groups the first one stays first.
    groups.sort_by_key(|(_, agents)| std::cmp::Reverse(agents.len()));
    let mut lines: Vec<String> = general.into_iter().map(|reason| reason.why.clone()).collect();
    lines.extend(groups.into_iter().map(|(why, agents)| format!("{}: {why}", named(&agents))));
    lines
}

/// The first of the lines, and how many more there are.
pub(crate) fn first(lines: Vec<String>, most: usize) -> (Vec<String>, usize) {
    let more = lines.len().saturating_sub(most);
    (lines.into_iter().take(most).collect(), more)
}

fn named(agents: &[&str]) -> String {
    match agents {
        [agent] => format!("agent {agent}"),
        agents if agents.len() <= NAMED => format!("agents {}", agents.join(", ")),
        agents => format!("{} agents ({}, ...)", agents.len(), agents[..NAMED].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(agent: &str, why: &str, offline: bool) -> v1::Waiting {
        v1::Waiting {
            agent: Some(agent.to_owned()).filter(|agent| !agent.is_empty()),
            why: why.to_owned(),
            lasting: true,
            offline,
            ..v1::Waiting::default()
        }
    }

    #[test]
    fn equal_reasons_are_one_line_and_the_true_one_is_seen() {
        let mut waiting: Vec<_> =
            (0..30).map(|number| reason(&format!("gone{number}"), "it is offline", true)).collect();
        assert_eq!(lines(&waiting), ["30 agents (gone0, gone1, gone2, ...): it is offline"]);
        waiting.push(reason("a", "it has no label pool=spot", false));
        waiting.push(reason("b", "it has 2 cpus", false));
        waiting.push(reason("c", "it has 2 cpus", false));
        waiting.push(reason("", "the sweep is paused", false));
        let expected =
            ["the sweep is paused", "agents b, c: it has 2 cpus", "agent a: it has no label pool=spot"];
        assert_eq!(lines(&waiting), expected);
        assert_eq!(first(lines(&waiting), 1), (vec!["the sweep is paused".to_owned()], 2));
    }
}
