//! `driver: process`: jobs outside of any container.

use super::choice::{JobUser, Pull};
use super::definition::Manifest;
use super::error::Error;
use super::network::Network;

/// What stands for the image of a sweep that has none. No registry has this name.
pub const PROCESS_IMAGE: &str = "btctl.invalid/process";

/// Refuses what a process can't be held to, with the key that it belongs to.
pub(super) fn admit(manifest: &Manifest) -> Result<(), (String, Error)> {
    let refused = |key: &str, told: String| Err((key.to_owned(), Error::new(told)));
    if !manifest.is_process() {
        return match manifest.image == PROCESS_IMAGE {
            true => refused(
                "image",
                format!(
                    "{PROCESS_IMAGE} stands for jobs without an image; write `driver: process` and no `image`"
                ),
            ),
            false => Ok(()),
        };
    }
    if manifest.image != PROCESS_IMAGE {
        return refused("image", "`driver: process` uses no image; leave `image` out".to_owned());
    }
    if manifest.command.is_empty() {
        return refused(
            "command",
            "`driver: process` has no image whose command it could run; write `command`".to_owned(),
        );
    }
    let (sandbox, needs) = (&manifest.sandbox, &manifest.needs);
    let given = [
        ("entrypoint", "entrypoint", sandbox.entrypoint.is_some()),
        ("tmpfs", "tmpfs", !sandbox.tmpfs.is_empty()),
        ("groups", "groups", !sandbox.groups.is_empty()),
        ("cache", "cache", sandbox.cache.is_some()),
        ("containers", "containers", sandbox.containers.is_some()),
        ("batch", "batch", sandbox.batch.is_some()),
        ("pull", "pull", sandbox.pull.is_some_and(|pull| pull != Pull::Missing)),
        ("pids", "pids", sandbox.pids.is_some()),
        ("ulimits", "ulimits", !sandbox.ulimits.is_empty()),
        ("secrets", "secrets", !sandbox.secrets.is_empty()),
        ("holdout", "holdout", manifest.judged.holdout.is_some()),
        ("dev_mount", "dev_mount", !sandbox.dev_mounts.is_empty()),
        ("user", "user", manifest.user != JobUser::Auto),
        ("network", "network", manifest.network != Network::None),
        ("resources", "resources.gpus", needs.gpus.unwrap_or(0) > 0),
        ("resources", "resources.shm", needs.shm_bytes.is_some()),
        ("resources", "resources.cpus.pin", needs.pin()),
    ];
    match given.into_iter().find(|(_, _, is_given)| *is_given) {
        None => Ok(()),
        Some((key, name, _)) => refused(
            key,
            format!(
                "`{name}` is kept by a container, and `driver: process` has none: a process runs as the agent's user, with \
                 the machine's files and network; leave `{name}` out, or `driver`"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::PROCESS_IMAGE;
    use crate::manifest::lines::read;
    use crate::manifest::{Format, Manifest};

    fn told(lines: &str) -> String {
        let text = format!("driver: process\ncommand: [\"true\"]\n{lines}\n");
        let read = Manifest::parse(text.as_bytes(), Format::Yaml, "s.yaml").and_then(|draft| draft.finish());
        read.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_a_process_can_not_be_held_to_is_refused() {
        let sha256 = "0a".repeat(32);
        let laid = format!("dev_mount: [{{target: /pkg, sha256: '{sha256}', files: 1, bytes: 2}}]");
        for (lines, key) in [
            ("entrypoint: [sh]", "entrypoint"),
            ("tmpfs: [/scratch]", "tmpfs"),
            ("groups: [1]", "groups"),
            ("cache: /cache", "cache"),
            ("containers: each", "containers"),
            ("batch: 2", "batch"),
            ("pull: always", "pull"),
            ("pids: 10", "pids"),
            ("ulimits: {nofile: 10}", "ulimits"),
            ("secrets: [KEY]", "secrets"),
            (&laid, "dev_mount"),
            ("user: image", "user"),
            ("network: bridge", "network"),
            ("resources: {gpus: 1}", "resources.gpus"),
            ("resources: {shm: 1MiB}", "resources.shm"),
            ("resources: {cpus: {count: 1, pin: true}}", "resources.cpus.pin"),
            ("image: x", "image"),
        ] {
            let told = told(lines);
            assert!(told.starts_with("s.yaml:3:"), "{lines}: {told}");
            assert!(
                told.contains(&format!("`{key}`")) && told.contains("`driver: process`"),
                "{lines}: {told}"
            );
        }
    }

    #[test]
    fn a_process_has_no_image_and_needs_an_agent_that_allows_it() {
        let all =
            "resources: {cpus: 2, memory: 1GiB}\nworking_dir: /srv\nstop_grace: 3s\nvolumes: ['p:/p:ro']";
        assert_eq!(told(all), "");
        let text = "driver: process\ncommand: [\"true\"]\n";
        let manifest = Manifest::parse(text.as_bytes(), Format::Yaml, "s.yaml")
            .and_then(|draft| draft.finish())
            .unwrap();
        assert_eq!((manifest.image.as_str(), manifest.name.as_str()), (PROCESS_IMAGE, "process"));
        assert_eq!(manifest.labels().get("driver:process").map(String::as_str), Some("allowed"));
        assert!(Manifest::from_json(&manifest.to_json()).unwrap().is_process());
    }

    #[test]
    fn a_process_without_a_command_and_a_container_without_an_image_are_refused() {
        let process = |text: &str| {
            let read =
                Manifest::parse(text.as_bytes(), Format::Yaml, "s.yaml").and_then(|draft| draft.finish());
            read.unwrap_err().to_string()
        };
        assert!(process("driver: process\n").contains("write `command`"));
        assert!(process("driver: container\n").contains("no `image` is given"));
        assert!(process(&format!("image: {PROCESS_IMAGE}\n")).contains("write `driver: process`"));
        assert!(read("driver: pod").unwrap_err().to_string().contains("the drivers are container, process"));
    }
}
