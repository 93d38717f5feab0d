//! What makes two jobs the same. Jobs are identical if they have the same recipe, image, parameters, and content of
//! volumes: then the result of one is the result of the other, as far as btctl can tell.
//!
//! [`of`] takes every key of a manifest apart, so that a new one can't be added without a decision whether it changes
//! results.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Manifest, Needs, Sandbox, VolumeMount};

/// Rises when the rule below changes, so that recipes by different rules are never equal.
const RULE: u32 = 1;

/// The keys that change a result, as JSON that is the same for manifests that mean the same.
pub(super) fn of(manifest: &Manifest) -> String {
    let Manifest {
        command,
        env,
        volumes,
        needs,
        sandbox,
        agents,
        network,
        user,
        results,
        metrics,
        // What succeeded without them would have failed with them.
        require,
        timezone,
        // The image and the parameters are compared by themselves.
        image: _,
        jobs: _,
        // How results are ranked.
        goals: _,
        // Which jobs there are.
        filter: _,
        sample: _,
        // What the sweep is called, when and how often its jobs are tried, and what stops them: these decide whether
        // there is a result, not what is in it.
        name: _,
        priority: _,
        policy: _,
        timeout: _,
        on_disconnect: _,
        places: _,
    } = manifest;
    let Needs {
        // The number of threads that libraries start, which decides in which order floats are summed.
        cpu_millis: _,
        gpus,
        // How much there is of these decides whether a job gets through.
        memory_bytes: _,
        shm_bytes: _,
        disk_bytes: _,
    } = needs;
    let Sandbox {
        entrypoint,
        working_dir,
        platform,
        tmpfs,
        groups,
        cache,
        // Jobs that share a container find what others have left in /tmp.
        containers: _,
        // How a job is stopped, where its image comes from, and the limits that it fails at.
        stop_signal: _,
        stop_grace: _,
        pull: _,
        pids: _,
        ulimits: _,
        log_limit: _,
    } = sandbox;
    // The first volume is the input file's, and each has a variable: their order and names count.
    let volumes =
        volumes.iter().map(|VolumeMount { volume, target, read_only }| json!([volume, target, read_only]));
    let mut tmpfs: Vec<_> = tmpfs.iter().map(|tmpfs| tmpfs.path.as_str()).collect();
    tmpfs.sort_unstable();
    let mut groups = groups.clone();
    groups.sort_unstable();
    // One image may be made for several kinds of machines.
    let machine: BTreeMap<_, _> =
        agents.iter().filter(|(name, _)| ["os", "arch"].contains(&name.as_str())).collect();
    json!({
        "rule": RULE,
        "command": command,
        "env": env,
        "volumes": volumes.collect::<Vec<Value>>(),
        "threads": manifest.thread_count(),
        "gpus": gpus.unwrap_or(0),
        "entrypoint": entrypoint,
        "working_dir": working_dir,
        "platform": platform.as_ref().map(ToString::to_string),
        "machine": machine,
        "tmpfs": tmpfs,
        "groups": groups,
        "cache": cache,
        "shared": manifest.shares_containers(),
        "network": network.name(),
        "user": user.to_string(),
        "results": results,
        "metrics": metrics,
        "require": require,
        "timezone": timezone.as_deref().unwrap_or("UTC"),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Format;

    fn recipe(yaml: &str) -> String {
        Manifest::parse(yaml.as_bytes(), Format::Yaml, "m").unwrap().finish().unwrap().recipe()
    }

    const PLAIN: &str = "image: a:1\ncommand: [run, '{{ n }}']\nmatrix: { n: [1, 2] }\n";

    #[test]
    fn keys_that_change_a_result_make_another_recipe() {
        let mut seen =
            vec![recipe(PLAIN), recipe("image: a:1\ncommand: [go, '{{ n }}']\nmatrix: { n: [1, 2] }\n")];
        for line in [
            "env: { A: b }",
            "env: { A: c }",
            "volumes: ['p:/data:ro']",
            "volumes: ['p:/data']",
            "volumes: ['q:/data:ro']",
            "volumes: ['p:/data:ro', 'q:/more:ro']",
            "volumes: ['q:/more:ro', 'p:/data:ro']",
            "resources: { cpus: 1 }",
            "resources: { cpus: 2 }",
            "resources: { gpus: 1 }",
            "entrypoint: [python]",
            "working_dir: /app",
            "platform: linux/amd64",
            "agents: { arch: arm64 }",
            "tmpfs: ['/scratch']",
            "groups: [7]",
            "cache: /cache",
            "containers: reuse",
            "network: bridge",
            "user: image",
            "user: '7:7'",
            "results: /out",
            "metrics: m.json",
            "metrics: { require: [sharpe] }",
            "timezone: Asia/Kolkata",
        ] {
            let made = recipe(&format!("{PLAIN}{line}\n"));
            assert!(!seen.contains(&made), "{line} makes no difference");
            seen.push(made);
        }
    }

    #[test]
    fn other_keys_do_not() {
        let plain = recipe(PLAIN);
        for lines in [
            "name: other",
            "image: b:2",
            "where: n > 1",
            "sample: 1",
            "resources: { memory: 2GiB, shm: 1GiB, disk: 1GiB }",
            "timeout: 15m",
            "retries: 3",
            "retry_on: [exit]",
            "max_parallel: 3",
            "limits: { nas: 1 }",
            "canary: 1",
            "priority: 7",
            "goals: { sharpe: minimize }",
            "agents: { pool: spot }",
            "on_disconnect: stop",
            "timezone: UTC",
            "containers: each",
            "stop_signal: SIGINT",
            "stop_grace: 3s",
            "pull: always",
            "pids: 64",
            "ulimits: { nofile: 1024 }",
            "log_limit: 1MiB",
        ] {
            let key = lines.split(':').next().unwrap();
            let base: String =
                PLAIN.lines().filter(|line| !line.starts_with(key)).map(|l| format!("{l}\n")).collect();
            assert_eq!(recipe(&format!("{base}{lines}\n")), plain, "{lines}");
        }
        assert_eq!(recipe("image: a:1\ncommand: [run, '{{ n }}']\nparams: [{ n: 3 }]\n"), plain);
        // So many threads either way.
        let cpus = |cpus: &str| recipe(&format!("{PLAIN}resources: {{ cpus: {cpus} }}\n"));
        assert_eq!(cpus("1.5"), cpus("2"));
        let order = |groups: &str| recipe(&format!("{PLAIN}groups: {groups}\ntmpfs: ['/a', '/b']\n"));
        assert_eq!(order("[1, 2]"), order("[2, 1]"));
    }

    #[test]
    fn what_travels_as_json_keeps_its_recipe() {
        let yaml =
            format!("{PLAIN}env: {{ B: x, A: y }}\ntmpfs: ['/b:1GiB', '/a']\nresources: {{ cpus: 0.5 }}\n");
        let manifest = Manifest::parse(yaml.as_bytes(), Format::Yaml, "m").unwrap().finish().unwrap();
        assert_eq!(Manifest::from_json(&manifest.to_json()).unwrap().recipe(), manifest.recipe());
    }
}
