//! What people paste from `docker run` and what it is called here: a line under clap's message.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Flags of `docker run` that submit does not have, and what to do instead.
const HINTS: [(&[&str], &str); 17] = [
    (&["--rm"], "a job's container is always removed; leave it out"),
    (
        &["--interactive", "--tty", "--attach", "-i", "-t", "-a"],
        "jobs have no terminal; leave it out, and read `btctl logs -f`",
    ),
    (&["--detach", "-d"], "submit returns at once, unless --wait is given; leave it out"),
    (&["--init"], "jobs always have an init; leave it out"),
    (&["--read-only"], "the root is always read-only; /results, /tmp and --tmpfs are writable"),
    (&["--mount"], "write -v NAME:/path or -v NAME:/path:ro"),
    (&["--label", "-l", "--label-file"], "--agent-label chooses agents; --name names the sweep"),
    (&["--net"], "write --network none, --network bridge or --network HOST:PORT"),
    (&["--publish", "-p", "--publish-all", "-P", "--expose"], "jobs take no connections; leave it out"),
    (&["--restart"], "write --retries N"),
    (
        &["--memory-swap", "--memory-swappiness", "--memory-reservation", "--kernel-memory"],
        "a job has no swap; write --memory",
    ),
    (&["--cpuset-cpus", "--cpu-shares", "--cpu-quota", "--cpu-period", "-c"], "write --cpus N"),
    (
        &[
            "--privileged",
            "--cap-add",
            "--cap-drop",
            "--security-opt",
            "--device",
            "--pid",
            "--ipc",
            "--userns",
        ],
        "jobs run without privileges, and no flag changes that",
    ),
    (&["--runtime"], "the agent's owner chooses it: btctl agent --oci-runtime"),
    (
        &["--hostname", "-h", "--dns", "--add-host", "--link", "--ip", "--mac-address"],
        "the network is none, bridge or HOST:PORT, and has no further settings",
    ),
    (&["--log-driver", "--log-opt"], "logs are kept by btctl; write --log-limit SIZE"),
    (
        &["--cidfile", "--sig-proxy", "--detach-keys", "--volumes-from", "--volume-driver", "--gpus-all"],
        "there is nothing like it here; leave it out",
    ),
];

/// A hint for a word that clap does not know.
pub(crate) fn hint(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else { return None };
    hint_for(word)
}

fn hint_for(word: &str) -> Option<String> {
    let flag = word.split('=').next().unwrap_or(word);
    if let Some((_, hint)) = HINTS.iter().find(|(flags, _)| flags.contains(&flag)) {
        return Some(format!("{flag}: {hint}"));
    }
    let is_manifest = [".yaml", ".yml", ".toml", ".json"].iter().any(|end| word.ends_with(end));
    match word.starts_with('-') {
        false if is_manifest => Some(format!("a manifest is given by -f: -f {word}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_has_is_answered() {
        for (word, part) in [
            ("--rm", "always removed"),
            ("-i", "no terminal"),
            ("-d", "returns at once"),
            ("--mount=type=bind", "write -v"),
            ("--restart=always", "--retries"),
            ("sweep.yaml", "-f sweep.yaml"),
        ] {
            assert!(hint_for(word).is_some_and(|hint| hint.contains(part)), "{word}");
        }
        assert_eq!(hint_for("--no-such-thing"), None);
        assert_eq!(hint_for("python"), None);
    }
}
