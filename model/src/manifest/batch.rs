//! `batch`: how many points of a sweep one container gets. A container has one command and one environment, so that of a
//! batch of several can't differ from point to point.

use super::choice::Containers;
use super::definition::Manifest;
use super::error::Error;

/// The file below the results directory in which a container says which points have ended, and how.
pub const STATUS_FILE: &str = "status";

/// Refuses what a batch can't have, with the key that it belongs to.
pub(super) fn admit(manifest: &Manifest) -> Result<(), (String, Error)> {
    let Some(batch) = manifest.batch() else { return Ok(()) };
    let shared = manifest.sandbox.containers();
    if shared != Containers::Each {
        let told = format!(
            "`batch` gives one container several points, and `containers: {shared}` one container several jobs in turn; take one \
             of them"
        );
        return Err(("batch".to_owned(), Error::new(told)));
    }
    if batch == 1 {
        return Ok(());
    }
    let renderer = manifest.renderer().map_err(|error| ("command".to_owned(), error))?;
    match renderer.first_with_parameters() {
        None => Ok(()),
        Some((path, shown)) => {
            let told = format!(
                "{shown} names a parameter, but with `batch: {batch}` one container runs many points; read them from the file \
                 that ALGORITHM_INPUT_PATH names (`points`) or from the one that BT_POINTS names"
            );
            Err((path, Error::new(told)))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::Manifest;
    use crate::manifest::lines::read;

    #[test]
    fn it_travels() {
        let manifest =
            read("batch: 50\ncommand: [run, '{{ 6 * 7 }}', '{% raw %}{{ n }}{% endraw %}']").unwrap();
        assert_eq!(manifest.batch(), Some(50));
        assert_eq!(Manifest::from_json(&manifest.to_json()).unwrap(), manifest);
        assert_eq!(read("batch: 1\ncommand: [run, '{{ n }}']").unwrap().batch(), Some(1));
        assert_eq!(read("batch: 10000").unwrap().batch(), Some(10_000));
        assert_eq!(read("containers: reuse").unwrap().batch(), None);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (lines, place, words) in [
            ("batch: 0", "3:", "from 1 to 10000"),
            ("batch: 10001", "3:", "from 1 to 10000"),
            ("batch: many", "3:", "whole number"),
            ("batch: 5\ncontainers: reuse", "3:", "`containers: reuse`"),
            ("batch: 5\ncontainers: warm", "3:", "`containers: warm`"),
            ("batch: 5\ncommand: [run, a, '{{ n }}']", "4:", "`command[2]` (\"{{ n }}\") names a parameter"),
            ("batch: 2\ncommand: [run, '{{ params | tojson }}']", "4:", "`command[1]`"),
            ("batch: 5\nenv: { A: b, N: 'x{{ n + 1 }}' }", "4:", "`env.N`"),
            ("batch: 5\nenv: { N: '{{ n }}' }", "4:", "ALGORITHM_INPUT_PATH"),
        ] {
            let told = read(lines).unwrap_err().to_string();
            assert!(told.contains(words) && told.starts_with(&format!("s.yaml:{place}")), "{lines}: {told}");
        }
    }
}
