//! `cpus: { pin: true }`: a job's cpus are its own.

use super::choice::Containers;
use super::definition::Manifest;
use super::error::Error;

/// Refuses what can't be pinned, with the key that it belongs to.
pub(super) fn admit(manifest: &Manifest) -> Result<(), (String, Error)> {
    if !manifest.needs.pin() {
        return Ok(());
    }
    let refused = |told: String| Err(("resources".to_owned(), Error::new(told)));
    match manifest.needs.cpu_millis {
        None => {
            return refused(
                "`resources.cpus` is to be pinned and has no `count`; write {count: 2, pin: true}".to_owned(),
            );
        }
        Some(millis) if millis % 1000 != 0 => {
            let cpus = millis as f64 / 1000.0;
            return refused(format!(
                "`resources.cpus` has {cpus} cpus to be pinned; only whole ones can be: write {}",
                millis.div_ceil(1000)
            ));
        }
        Some(_) => {}
    }
    match manifest.sandbox.containers() {
        Containers::Each => Ok(()),
        shared => refused(format!(
            "`resources.cpus` pins cpus for single jobs, and with `containers: {shared}` several jobs share a container; take \
             one of them"
        )),
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::Manifest;
    use crate::manifest::lines::read;

    #[test]
    fn a_number_and_a_map_are_read_and_travel() {
        for (lines, expected) in [
            ("resources: { cpus: 2 }", (Some(2000), false)),
            ("resources: { cpus: { count: 2 } }", (Some(2000), false)),
            ("resources: { cpus: { count: 0.5, pin: false } }", (Some(500), false)),
            ("resources: { cpus: { count: 2, pin: true } }", (Some(2000), true)),
        ] {
            let manifest = read(lines).unwrap();
            assert_eq!((manifest.needs.cpu_millis, manifest.needs.pin()), expected, "{lines}");
            let travelled = Manifest::from_json(&manifest.to_json()).unwrap();
            assert_eq!((travelled.needs.cpu_millis, travelled.needs.pin()), expected, "{lines}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (lines, what) in [
            ("resources: { cpus: { pin: true } }", "has no `count`"),
            ("resources: { cpus: { count: 1.5, pin: true } }", "only whole ones can be: write 2"),
            ("resources: { cpus: { count: 2, pin: 1 } }", "write true or false"),
            ("resources: { cpus: { count: 2, pinned: true } }", "unknown key `pinned`"),
            ("resources: { cpus: { count: 2 }, cpu_millicore: 5 }", "one is enough"),
            ("resources: { cpus: { count: 2, pin: true } }\ncontainers: reuse", "`containers: reuse`"),
        ] {
            let told = read(lines).unwrap_err().to_string();
            assert!(told.contains(what), "{lines}: {told}");
        }
    }
}
