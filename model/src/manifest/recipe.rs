//! What makes two jobs the same. Jobs are identical if they have the same recipe, image, parameters, and content of
//! volumes: then the result of one is the result of the other, if nothing else influences them.

use super::definition::Manifest;
use super::keys::{self, Parts, Recipe};

/// Rises when the rule changes, so that recipes by different rules are never equal.
const RULE: u32 = 1;

impl Manifest {
    /// All that changes a result but image and parameters, as JSON: jobs of manifests with the same recipe, the same
    /// image and the same parameters are identical, if their volumes hold the same.
    pub fn recipe(&self) -> String {
        let mut parts = Parts::of_rule(RULE);
        for key in keys::all() {
            match key.recipe {
                Recipe::Contains(put) => put(self, &mut parts),
                Recipe::Omits => (),
            }
        }
        parts.into_json()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Format;

    fn recipe(yaml: &str) -> String {
        Manifest::parse(yaml.as_bytes(), Format::Yaml, "m").unwrap().finish().unwrap().recipe()
    }

    fn dev_mount(target: &str, digits: &str) -> String {
        let sha256 = digits.repeat(32);
        format!("dev_mount: [{{ target: {target}, sha256: '{sha256}', files: 1, bytes: 1 }}]")
    }

    const PLAIN: &str = "image: a:1\ncommand: [run, '{{ n }}']\nmatrix: { n: [1, 2] }\n";

    #[test]
    fn keys_that_change_a_result_make_another_recipe() {
        let process = "driver: process\ncommand: [run, '{{ n }}']\nmatrix: { n: [1, 2] }\n";
        assert_ne!(recipe(process), recipe(PLAIN));
        assert_eq!(recipe(&format!("{PLAIN}driver: container\n")), recipe(PLAIN));
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
            "batch: 1",
            "network: bridge",
            "network: { allow: ['127.0.0.1:4001'] }",
            "network: { allow: ['127.0.0.1:4001', 'gw:1'] }",
            "secrets: [KEY]",
            "secrets: [{ name: KEY, as: env }]",
            "user: image",
            "user: '7:7'",
            "results: /out",
            "metrics: m.json",
            "metrics: { require: [sharpe] }",
            "returns: { path: r.csv, column: ret }",
            "holdout: { from: 2012-01-01, looks: 3 }",
            "holdout: { from: 2012-01-02, looks: 3 }",
            "holdout: { from: 2012-01-01, looks: 3, date: day }",
            "holdout: { from: 2012-01-01, looks: 3, volumes: [p] }",
            "timezone: Asia/Kolkata",
            &dev_mount("/pkg", "0a"),
            &dev_mount("/pkg", "0b"),
            &dev_mount("/lib", "0a"),
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
            "windows: { train: 1y, test: 1y, from: 2005-01-01, to: 2010-01-01 }\nselect: { maximize: a }",
            "windows: { train: 1y, test: 1y, from: 2005-01-01, to: 2010-01-01 }",
            "resources: { memory: 2GiB, shm: 1GiB, disk: 1GiB }",
            "timeout: 15m",
            "retries: 3",
            "retries: { oom: { times: 2, factor: 1.5, max: 8GiB } }",
            "after: prices",
            "retry_on: [exit]",
            "max_parallel: 3",
            "limits: { nas: 1 }",
            "canary: 1",
            "preempt: true",
            "notify: ['https://ci.example/hook']",
            "priority: 7",
            "goals: { sharpe: minimize }",
            "family: averages",
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
            "progress: state/progress.json",
            "stop_when: drawdown < -0.5",
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
        assert_eq!(cpus("{ count: 2, pin: true }"), cpus("2"));
        let shared = |lines: &str| recipe(&format!("{PLAIN}containers: {lines}\n"));
        assert_eq!(
            shared("warm\nwarm: { preload: [a] }"),
            shared("reuse"),
            "warm jobs may have to share as with reuse"
        );
        let cut = |looks: u32| recipe(&format!("{PLAIN}holdout: {{ from: 2012-01-01, looks: {looks} }}\n"));
        assert_eq!(cut(1), cut(2), "how many looks there are changes no job");
        let order = |groups: &str| recipe(&format!("{PLAIN}groups: {groups}\ntmpfs: ['/a', '/b']\n"));
        assert_eq!(order("[1, 2]"), order("[2, 1]"));
    }

    /// Recipes are kept, hashed, with each sweep: if one changed, no result of before would be found again.
    #[test]
    fn a_recipe_is_what_it_was() {
        let yaml = format!(
            "{PLAIN}env: {{ B: x, A: '1' }}\nvolumes: ['p:/data:ro']\nresources: {{ cpus: 1.5, gpus: 2 }}\n\
             entrypoint: [python]\nworking_dir: /app\nplatform: linux/arm64\nagents: {{ os: linux, pool: spot }}\n\
             tmpfs: ['/b:1GiB', '/a']\ngroups: [7, 3]\ncache: /cache\nnetwork: bridge\nuser: '7:8'\nresults: /out\n\
             metrics: {{ path: m.json, require: [sharpe] }}\ntimezone: Asia/Kolkata\n"
        );
        let expected =
            r#"{"rule":1,"command":["run","{{ n }}"],"env":{"A":"1","B":"x"},"volumes":[["p","/data",true]],"#
                .to_owned()
                + r#""threads":2,"gpus":2,"entrypoint":["python"],"working_dir":"/app","platform":"linux/arm64","#
                + r#""machine":{"os":"linux"},"tmpfs":["/a","/b"],"groups":[3,7],"cache":"/cache","shared":false,"#
                + r#""network":"bridge","user":"7:8","results":"/out","metrics":"m.json","require":["sharpe"],"#
                + r#""timezone":"Asia/Kolkata"}"#;
        assert_eq!(recipe(&yaml), expected);
        let plain = r#"{"rule":1,"command":["run","{{ n }}"],"env":{},"volumes":[],"threads":null,"gpus":0,"#
            .to_owned()
            + r#""entrypoint":null,"working_dir":null,"platform":null,"machine":{},"tmpfs":[],"groups":[],"#
            + r#""cache":null,"shared":false,"network":"none","user":"auto","results":"/results","#
            + r#""metrics":"metrics.json","require":[],"timezone":"UTC"}"#;
        assert_eq!(recipe(PLAIN), plain);
    }

    #[test]
    fn what_travels_as_json_keeps_its_recipe() {
        let yaml =
            format!("{PLAIN}env: {{ B: x, A: y }}\ntmpfs: ['/b:1GiB', '/a']\nresources: {{ cpus: 0.5 }}\n");
        let manifest = Manifest::parse(yaml.as_bytes(), Format::Yaml, "m").unwrap().finish().unwrap();
        assert_eq!(Manifest::from_json(&manifest.to_json()).unwrap().recipe(), manifest.recipe());
    }
}
