//! What a failed job's last words mean, and what would help. Only said beside the reason: it never decides how an attempt
//! ended.

use bt_model::manifest::{Manifest, Network};
use bt_model::reason::Reason;

/// Words that programs end with, and what they mean.
struct Hint {
    /// Any of these, in any case; they are written here in lower case.
    says: &'static [&'static str],
    when: When,
    means: fn(&Manifest) -> String,
}

/// Where else the words must come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    /// The job has no network.
    NoNetwork,
}

const HINTS: &[Hint] = &[
    Hint {
        says: &["read-only file system", "errno 30", "erofs"],
        when: When::Always,
        means: |manifest| {
            format!(
                "the container's file system is read-only: write to {} (kept), to /tmp (not kept) or to a volume without `:ro`",
                manifest.results
            )
        },
    },
    Hint {
        says: &["no space left on device", "errno 28", "disk quota exceeded"],
        when: When::Always,
        means: |manifest| {
            format!(
                "/tmp and /dev/shm are small and count as the job's memory: write large files to {}, or ask for more with \
                 `tmpfs`, `shm` or `memory`",
                manifest.results
            )
        },
    },
    Hint {
        says: &["exec format error", "cannot execute binary file"],
        when: When::Always,
        means: |_| {
            "the program is made for another kind of machine, or is a script without its `#!` line; see `platform`".to_owned()
        },
    },
    Hint {
        says: &[
            "modulenotfounderror",
            "no module named",
            "importerror",
            "there is no package called",
            "package not found in current path",
        ],
        when: When::Always,
        means: |_| {
            "the image lacks it: build it into the image, since jobs can't install anything; `btctl debug` opens a shell to look"
                .to_owned()
        },
    },
    Hint {
        says: &["error while loading shared libraries", "version `glibc_", "cannot open shared object file"],
        when: When::Always,
        means: |_| "the image lacks a library that the program was built with".to_owned(),
    },
    Hint {
        says: &[
            "network is unreachable",
            "temporary failure in name resolution",
            "name or service not known",
            "could not resolve host",
            "nodename nor servname provided",
            "getaddrinfo failed",
            "no address associated with hostname",
            "eai_again",
        ],
        when: When::NoNetwork,
        means: |manifest| {
            match manifest.network.addresses() {
            [] => "jobs have no network unless the manifest asks for one (`network: bridge`) and an agent offers it \
                   (--allow-network)"
                .to_owned(),
            addresses => {
                let named: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                format!("the job reaches {} and nothing else, no name server either (`network.allow`)", named.join(", "))
            }
        }
        },
    },
    Hint {
        says: &["permission denied", "errno 13", "operation not permitted", "eacces"],
        when: When::Always,
        means: |manifest| {
            format!(
                "it may write to {} and /tmp, and to volumes if its user (`user`) has permission; all capabilities are dropped",
                manifest.results
            )
        },
    },
    Hint {
        says: &[
            "memoryerror",
            "cannot allocate memory",
            "std::bad_alloc",
            "out of memory",
            "outofmemoryerror",
        ],
        when: When::Always,
        means: |_| "it asked for more memory than it may have; see `memory`".to_owned(),
    },
    Hint {
        says: &["too many open files", "errno 24"],
        when: When::Always,
        means: |_| "it may open no more files: see `ulimits: {nofile: ..}`".to_owned(),
    },
    Hint {
        says: &["bus error"],
        when: When::Always,
        means: |_| "perhaps /dev/shm is full: ask for more with `shm`".to_owned(),
    },
    Hint {
        says: &["illegal instruction"],
        when: When::Always,
        means: |_| "perhaps the program is built for a newer cpu than this machine's".to_owned(),
    },
    Hint {
        says: &["command not found", ": not found", "no such file or directory"],
        when: When::Always,
        means: |_| {
            "it is not in the image, or not where it was looked for; paths of your own machine are not in the container".to_owned()
        },
    },
];

/// What ended a job, where its last words do not say.
fn by_code(reason: &Reason) -> Option<&'static str> {
    match reason {
        Reason::Exit(127) => Some("a program was not found in the image: see its PATH and the spelling"),
        Reason::Exit(126) => {
            Some("a program was found and can't be executed: see its mode (chmod +x) and its `#!` line")
        }
        Reason::Signal(4) => {
            Some("an illegal instruction: perhaps the program is built for a newer cpu than this machine's")
        }
        Reason::Signal(7) => Some("a bus error: perhaps /dev/shm is full; ask for more with `shm`"),
        _ => None,
    }
}

/// A hint for a job that ended by itself, by what it said last.
pub(crate) fn hint(reason: &Reason, last_words: &str, manifest: &Manifest) -> Option<String> {
    if !matches!(reason, Reason::Exit(_) | Reason::Signal(_)) {
        return None;
    }
    let words = last_words.to_ascii_lowercase();
    let said = HINTS.iter().filter(|hint| match hint.when {
        When::Always => true,
        When::NoNetwork => manifest.network != Network::Bridge,
    });
    // What was said last is nearest to the end. Of words that stand in one line the first in the table explain most.
    let line_of = |at: usize| words[..at].matches('\n').count();
    let said = said.enumerate().filter_map(|(n, hint)| {
        let at = hint.says.iter().filter_map(|says| words.rfind(says)).max()?;
        Some((line_of(at), std::cmp::Reverse(n), hint))
    });
    let last = said.max_by_key(|(line, n, _)| (*line, *n));
    last.map(|(_, _, hint)| (hint.means)(manifest)).or_else(|| by_code(reason).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(network: &str) -> Manifest {
        let json =
            format!(r#"{{"image": "x", "command": ["x"], "results": "/out", "network": "{network}"}}"#);
        Manifest::from_json(&json).unwrap()
    }

    fn said(words: &str) -> Option<String> {
        hint(&Reason::Exit(1), words, &manifest("none"))
    }

    #[test]
    fn last_words_are_explained() {
        for (words, means) in [
            (
                "OSError: [Errno 30] Read-only file system: 'a.csv'\n",
                "write to /out (kept), to /tmp (not kept)",
            ),
            ("sh: can't create x: Read-only file system", "is read-only"),
            ("OSError: [Errno 28] No space left on device", "`tmpfs`, `shm`"),
            ("exec /app/run: exec format error", "another kind of machine"),
            ("ModuleNotFoundError: No module named 'pandas'", "build it into the image"),
            ("socket.gaierror: [Errno -3] Temporary failure in name resolution", "network: bridge"),
            ("PermissionError: [Errno 13] Permission denied: '/data/x'", "if its user"),
            ("/bin/sh: pyton: not found", "not in the image"),
            ("terminate called after throwing an instance of 'std::bad_alloc'", "see `memory`"),
        ] {
            let hint = said(words).unwrap_or_default();
            assert!(hint.contains(means), "{words}: {hint}");
        }
        assert_eq!(said("ValueError: fast must be below slow"), None);
        assert_eq!(said(""), None);
    }

    #[test]
    fn what_was_said_last_counts_and_a_code_where_nothing_was_said() {
        let both =
            said("warning: cache: Read-only file system\nModuleNotFoundError: No module named 'x'").unwrap();
        assert!(both.contains("build it into the image"), "{both}");
        let hint = |reason| super::hint(&reason, "", &manifest("none"));
        assert!(hint(Reason::Exit(127)).unwrap().contains("was not found"));
        assert!(hint(Reason::Exit(126)).unwrap().contains("can't be executed"));
        assert_eq!(hint(Reason::Oom), None);
        let manifest_of =
            r#"{"image": "x", "command": ["x"], "results": "/out", "network": {"allow": ["127.0.0.1:1"]}}"#;
        let named = Manifest::from_json(manifest_of).unwrap();
        let hint = super::hint(&Reason::Exit(1), "Network is unreachable", &named).unwrap();
        assert!(hint.contains("127.0.0.1:1 and nothing else"), "{hint}");
        let bridged = manifest("bridge");
        assert_eq!(super::hint(&Reason::Exit(1), "Network is unreachable", &bridged), None);
    }
}
