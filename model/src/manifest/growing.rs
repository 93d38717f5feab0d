//! `retries.oom` with a factor: what runs out of memory gets more. That needs a container of its own.

use super::choice::Containers;
use super::definition::Manifest;
use super::error::Error;
use crate::resources::ByteSize;

/// Refuses what can't go with memory that grows, with the key that it belongs to.
pub(super) fn admit(manifest: &Manifest) -> Result<(), (String, Error)> {
    if manifest.policy.retries.growth.is_none() {
        return Ok(());
    }
    let memory = manifest.needs.memory_bytes;
    let most = manifest.policy.retries.growth.and_then(|growth| growth.max_bytes);
    if let (Some(memory), Some(most)) = (memory, most)
        && most <= memory
    {
        let (memory, most) = (ByteSize(memory), ByteSize(most));
        let told = format!(
            "`retries.oom.max` is {most}, which is not more than the {memory} of `resources.memory`; write more, or leave it out"
        );
        return Err(("retries".to_owned(), Error::new(told)));
    }
    let shares = match (manifest.sandbox.containers(), manifest.batch()) {
        (Containers::Each, None) => return Ok(()),
        (Containers::Each, Some(batch)) => format!("`batch: {batch}`"),
        (shared, _) => format!("`containers: {shared}`"),
    };
    let told = format!(
        "`retries.oom` with a factor gives a single job more memory, and with {shares} several jobs share a container; write \
         a number for `retries.oom`, or take out {shares}"
    );
    Err(("retries".to_owned(), Error::new(told)))
}

#[cfg(test)]
mod tests {
    use crate::manifest::Manifest;
    use crate::manifest::lines::read;
    use crate::retry::Growth;

    #[test]
    fn a_number_and_a_map_are_read_and_travel() {
        let number = read("retries: { oom: 2 }").unwrap();
        assert_eq!((number.policy.oom_retries(), number.policy.retries.growth), (2, None));
        let map = read("retries: { failures: 1, oom: { times: 2, factor: 1.5, max: 8GiB } }").unwrap();
        assert_eq!((map.policy.failure_retries(), map.policy.oom_retries()), (1, 2));
        assert_eq!(map.policy.retries.growth, Some(Growth { factor: 1.5, max_bytes: Some(8 << 30) }));
        assert_eq!(Manifest::from_json(&map.to_json()).unwrap(), map);
        let usual = read("retries: { oom: { times: 1 } }").unwrap();
        assert_eq!(usual.policy.retries.growth, Some(Growth { factor: 2.0, max_bytes: None }));
    }

    #[test]
    fn mistakes_are_told() {
        for (lines, what) in [
            ("retries: { oom: { factor: 2 } }", "has no `times`"),
            ("retries: { oom: { times: 2, factor: 1 } }", "goes from 1.1 to 16"),
            ("retries: { oom: { times: 2, factor: nan } }", "goes from 1.1 to 16"),
            ("retries: { oom: { times: 2, factor: much } }", "\"much\" is no number"),
            ("retries: { oom: { times: 200 } }", "from 0 to 100"),
            ("retries: { oom: { times: 2, max: 1KiB } }", "no container starts with less"),
            ("retries: { oom: { times: 2, most: 8GiB } }", "unknown key `most`"),
            ("retries: { oom: { times: 2 } }\nretry_on: [exit]", "`retry_on` does not name oom"),
            ("retries: { oom: { times: 2 } }\ncontainers: reuse", "`containers: reuse`"),
            ("retries: { oom: { times: 2 } }\ncontainers: warm", "`containers: warm`"),
            ("retries: { oom: { times: 2 } }\nbatch: 5", "`batch: 5`"),
            ("retries: { oom: { times: 2, max: 1GiB } }\nresources: { memory: 2GiB }", "is not more than"),
        ] {
            let told = read(lines).unwrap_err().to_string();
            assert!(told.contains(what), "{lines}: {told}");
        }
    }
}
