//! The JSON Schema of a manifest, for editors and for programs that write manifests.

use serde_json::{Map, Value, json};

use super::keys;

/// The schema. `help` says what a flag of `btctl submit` does; a key is described by the help of its flags.
pub fn schema(mut help: impl FnMut(&str) -> Option<String>) -> Value {
    let mut properties = Map::new();
    for key in keys::all() {
        let mut schema = (key.schema)();
        let described: Vec<_> = key.flags.iter().filter_map(|flag| help(flag)).collect();
        if !described.is_empty() {
            schema["description"] = described.join(" ").into();
        }
        let names = [Some(key.name), key.alias].into_iter().flatten();
        properties.extend(names.map(|name| (name.to_owned(), schema.clone())));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Manifest",
        "description": "A sweep as `btctl submit -f` reads it.",
        "type": "object",
        "properties": properties,
        "anyOf": [
            {"required": ["image"]},
            {"required": ["driver"], "properties": {"driver": {"const": "process"}}},
        ],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::keys::{self, Recipe};
    use super::*;
    use crate::manifest::{Format, Manifest};

    const PAGE: &str = include_str!("../../../docs/MANIFEST.md");
    const REUSE: &str = include_str!("../../../docs/REUSE.md");

    #[test]
    fn no_name_is_taken_twice() {
        let mut names = BTreeSet::new();
        for key in keys::all() {
            for name in [Some(key.name), key.alias].into_iter().flatten() {
                assert!(names.insert(name), "{name}");
            }
        }
    }

    #[test]
    fn every_key_has_its_row_on_the_page_of_manifests() {
        let cells = PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split('|').next());
        let rows: BTreeSet<&str> = cells.flat_map(|cell| cell.split('`')).collect();
        for key in keys::all() {
            let is_there =
                rows.iter().any(|row| *row == key.name || row.starts_with(&format!("{}.", key.name)));
            assert!(is_there, "docs/MANIFEST.md has no row for `{}`", key.name);
            if let Some(alias) = key.alias {
                assert!(PAGE.contains(&format!("`{alias}`")), "{alias}");
            }
        }
    }

    #[test]
    fn the_page_of_reuse_says_of_every_key_whether_it_counts() {
        let (count, others) = REUSE.split_once("\nAll other keys may differ: ").unwrap();
        let count =
            count.lines().find(|line| line.starts_with("| keys of the manifest that change")).unwrap();
        let others = others.split("\n\n").next().unwrap();
        // Images are compared too, by their content.
        for key in keys::all().filter(|key| key.name != "image") {
            let list = match key.recipe {
                Recipe::Contains(_) => count,
                Recipe::Omits => others,
            };
            let is_there = ["`", "."].iter().any(|end| list.contains(&format!("`{}{end}", key.name)));
            assert!(is_there, "docs/REUSE.md does not say whether `{}` counts", key.name);
        }
    }

    /// What the reader takes is right by the schema, and the schema knows the commonest mistakes.
    #[test]
    fn the_schema_agrees_with_the_reader() {
        let validator = jsonschema::validator_for(&schema(|_| None)).unwrap();
        let is_valid = |text: &str| validator.is_valid(&serde_json::from_str(text).unwrap());
        let read = |text: &str| {
            Manifest::parse(text.as_bytes(), Format::Json, "m.json").and_then(|draft| draft.finish())
        };
        for keys in RIGHT.lines() {
            let text = format!("{{\"image\": \"image:1\", {keys}}}");
            let manifest = read(&text).unwrap();
            assert!(is_valid(&text), "{keys}");
            // Rows travel apart.
            assert!(manifest.has_rows() || is_valid(&manifest.to_json()), "{keys}");
        }
        for keys in WRONG.lines() {
            let text = format!("{{\"image\": \"image:1\", {keys}}}");
            assert!(read(&text).is_err() && !is_valid(&text), "{keys}");
        }
        assert!(!is_valid("{\"name\": \"no-image\"}"));
        let process = "{\"driver\": \"process\", \"command\": [\"true\"]}";
        assert!(is_valid(process) && is_valid(&read(process).unwrap().to_json()));
        assert!(!is_valid("{\"driver\": \"container\", \"command\": [\"true\"]}"));
    }

    const RIGHT: &str = r#""name": "a-b"
"command": ["run", 5, true]
"env": {"A": 1}
"matrix": {"a": [1, "x"], "b": {"from": 1, "to": 5, "step": 2}, "exclude": [{"a": 1}]}
"matrix": {"a": {"values": [1]}}
"params": [{"a": 1}]
"matrix": {"a": [1, 2]}, "sample": {"count": 1, "seed": 7}
"matrix": {"a": [1, 2]}, "sample": {"count": 1, "method": "sobol"}
"windows": {"train": "3y", "test": "6m", "from": "2005-01-01", "to": "2013-01-01"}
"windows": {"train": "3y", "test": "6m", "from": "2005-01-01", "to": "2013-01-01"}, "select": {"maximize": "sharpe"}
"windows": {"train": "1y6m", "test": "2w", "step": "1m", "from": "2005-01-01", "to": "2013-01-01", "anchored": true, "purge": "5d", "tail": "keep", "overlap": false}
"volumes": ["p:/data:ro"]
"resources": {"cpus": 0.5, "memory": "1GiB", "gpus": 1, "shm": "64MiB", "disk": 1048576}
"resources": {"cpus": {"count": 2, "pin": true}}
"timeout": "15m"
"timeout": 15
"retries": {"failures": 2, "oom": 1}
"retries": {"oom": {"times": 2, "factor": 1.5, "max": "8GiB"}}
"retries": {"oom": {"times": 1}}
"retry_on": ["exit", "oom"]
"stop_when": "drawdown < -0.5 and n > 3"
"max_parallel": 3
"limits": {"nas": 1}
"canary": 1
"keep": "30d"
"after": "prices"
"after": ["prices", {"sweep": "0a1b2c3d", "on": "ended"}]
"priority": -1000
"preempt": true
"agents": {"pool": "spot"}
"network": "bridge"
"network": {"allow": ["127.0.0.1:4001", "gw.lan:7497"]}
"on_disconnect": "stop"
"user": "1000:1000"
"results": "/out"
"metrics": "m.json"
"metrics": {"path": "m.json", "require": ["a"]}
"goals": {"dd": "minimize"}
"returns": {"path": "r.csv", "column": "ret", "date": "", "kind": "equity"}
"family": "moving averages"
"holdout": {"from": "2012-01-01", "looks": 3}
"holdout": {"from": "2012-01-01", "looks": 0, "date": "Date", "volumes": ["prices"]}
"timezone": "Asia/Kolkata"
"driver": "container"
"entrypoint": ["sh", "-c"]
"working_dir": "/app"
"stop_signal": "INT"
"stop_grace": "30s"
"stop_grace_period": "30s"
"platform": "linux/arm64/v8"
"pull": "always"
"pids_limit": 64
"ulimits": {"nofile": 1024, "core": {"soft": 0, "hard": -1}}
"tmpfs": ["/scratch:1GiB"]
"groups": [7]
"cache": "/cache"
"log_limit": "1MiB"
"log_limit": 4096
"containers": "reuse"
"containers": "warm", "warm": {"preload": ["pandas"], "exclude": ["polars"], "verify": 2}
"batch": 50
"secrets": ["BROKER_KEY", {"name": "TOKEN", "as": "env"}]
"dev_mount": [{"target": "/pkg", "sha256": "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a", "files": 1, "bytes": 0}]"#;

    const WRONG: &str = r#""name": "a b"
"command": "run"
"env": []
"matrix": {"a": []}
"matrix": {"a": {"start": 1}}
"params": []
"where": 5
"sample": 0
"sample": {"seed": 7}
"sample": {"count": 1, "method": "quasi"}
"windows": {"train": "3y", "test": "6m", "from": "2005-01-01"}
"windows": {"train": "3y", "test": "6m", "from": "2005-01-01", "to": "2013-01-01"}, "select": {"maximize": "a", "minimize": "b"}
"windows": {"train": "3mo", "test": "6m", "from": "2005-01-01", "to": "2013-01-01"}
"windows": {"train": "3y", "test": "6m", "from": "2005-01-01", "to": "2013-01-01", "tail": "cut"}
"volumes": "p:/data"
"resources": {"cpu": 1}
"resources": {"gpus": "all"}
"resources": {"cpus": {"count": 2, "pin": 1}}
"resources": {"cpus": {"cores": 2}}
"timeout": true
"retries": 101
"retries": {"failure": 2}
"retries": {"oom": {"factor": 2}}
"retries": {"oom": {"times": 1, "most": "8GiB"}}
"retry_on": ["exist"]
"stop_when": 5
"max_parallel": 0
"limits": {"nas": 0}
"after": {"sweep": "prices", "on": "failed"}
"after": {"on": "ended"}
"priority": 1001
"preempt": 1
"network": "host"
"network": {"allow": ["127.0.0.1"]}
"network": {"allow": []}
"network": {"allow": ["http://a:1"]}
"user": "root"
"results": "out"
"metrics": {"file": "m.json"}
"goals": {"dd": "low"}
"returns": {"path": "r.csv"}
"returns": {"path": "r.csv", "column": "a", "kind": "price"}
"family": ""
"holdout": {"from": "2012-01-01"}
"holdout": {"from": "2012-01-01", "looks": 1001}
"holdout": {"from": "2012-01-01", "looks": 3, "volumes": []}
"holdout": {"from": "2012-01-01", "looks": 3, "until": "2013-01-01"}
"driver": "pod"
"entrypoint": []
"working_dir": "app"
"platform": "windows/amd64"
"pull_policy": "alway"
"pids": 1
"ulimits": {"files": 3}
"tmpfs": ["scratch"]
"groups": ["users"]
"containers": "reused"
"containers": "warm", "warm": {"preloads": []}
"batch": 0
"batch": 10001
"secrets": ["3KEY"]
"dev_mount": [{"target": "/pkg", "files": 1, "bytes": 0}]
"dev_mount": ["./src:/pkg"]
"secrets": [{"name": "KEY", "as": "variable"}]
"colour": "red""#;
}
