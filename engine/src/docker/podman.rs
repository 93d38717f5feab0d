//! Where Podman, behind its Docker-compatible socket, answers otherwise than Docker.

use bollard::errors::Error as Fault;
use bollard::models::{ContainerCreateBody, Mount, MountType, SystemVersion};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::volumes::MountSource;
use crate::{ContainerSpec, Error};

pub(super) fn is(version: &SystemVersion) -> bool {
    let components = version.components.as_deref().unwrap_or_default();
    components.iter().any(|component| component.name.to_lowercase().contains("podman"))
}

/// Tells the machine's owner of what can't be helped here.
pub(super) fn warn(version: &SystemVersion) {
    let version = version.version.as_deref().unwrap_or_default();
    if version.split('.').next().and_then(|major| major.parse().ok()).is_some_and(|major: u32| major < 5) {
        tracing::warn!(
            "Podman {version} does not tell which containers ran out of memory, unless conmon is started as docs/PODMAN.md \
             says"
        );
    }
}

/// Refuses what it would leave out, or make, without a word.
pub(super) async fn check(spec: &ContainerSpec) -> Result<(), Error> {
    let refused =
        |message: &str| Error::Engine { call: "create", status: Some(400), message: message.to_owned() };
    if spec.runtime.is_some() {
        return Err(refused(
            "Podman runs containers by the runtime that its containers.conf names, and by no other",
        ));
    }
    if !spec.gpus.is_empty() {
        return Err(refused(
            "Podman gives no gpus to containers that are made like Docker's; offer none by `--gpus 0`",
        ));
    }
    for bind in &spec.binds {
        let MountSource::Path(path) = &bind.source else { continue };
        // It would be taken for the end of the path.
        if path.to_string_lossy().contains(':') {
            let message = format!(
                "a volume can't be mounted: Podman takes no path with a colon, as {} is",
                path.display()
            );
            return Err(Error::Volume { message });
        }
        // What can't be looked at from here may be there all the same.
        if tokio::fs::try_exists(path).await.is_ok_and(|exists| !exists) {
            let message = format!("a volume can't be mounted: {} is not there", path.display());
            return Err(Error::Volume { message });
        }
    }
    Ok(())
}

/// Names its log driver, and what is mounted in the form of `-v`. The newer form it writes into a list with commas, where a path with a comma
/// could name another source, and it forgets that what the image has at that path is not to be copied into a volume.
pub(super) fn adapt(body: &mut ContainerCreateBody) {
    let Some(host) = &mut body.host_config else { return };
    // Its name for Podman's own driver, which keeps any byte; it has no other of Docker's.
    if let Some(log) = &mut host.log_config {
        log.typ = Some("json-file".to_owned());
        log.config.iter_mut().for_each(|config| drop(config.remove("compress")));
    }
    let bind = |mount: Mount| {
        let mode = if mount.read_only == Some(true) { "ro" } else { "rw" };
        let more = if mount.typ == Some(MountType::VOLUME) { ",nocopy" } else { "" };
        Some(format!("{}:{}:{mode}{more}", mount.source?, mount.target?))
    };
    let mounts = host.mounts.take().unwrap_or_default();
    host.binds = Some(mounts.into_iter().filter_map(bind).collect());
}

/// The status that Docker has for what Podman tells in words alone.
pub(super) fn status(status: u16, message: &str) -> u16 {
    match status {
        500 if message.contains("no such container") => 404,
        500 if message.contains("name is already in use") => 409,
        404 | 500 if message.contains("invalid reference format") => 400,
        status => status,
    }
}

/// Whether a digest of an image is one by which a registry may know it: what is made or loaded here has one, too.
pub(super) fn is_registrys(digest: &str) -> bool {
    !digest.starts_with("localhost/")
}

/// Why catatonit, its init, could not start a command: `ERROR (catatonit:7): failed to exec pid1: No such file or
/// directory`.
pub(super) fn init_complaint(line: &str) -> Option<&str> {
    let (_, why) = line.trim().strip_prefix("ERROR (catatonit:")?.split_once("): failed to exec pid1: ")?;
    (!why.contains('\n')).then_some(why)
}

/// Reads an answer again that has one of Podman's own words for the state of a container.
pub(super) fn in_dockers_words<T: DeserializeOwned>(answer: Result<T, Fault>) -> Result<T, Fault> {
    answer.or_else(|fault| match &fault {
        Fault::JsonDataError { contents, .. } => translate(contents).ok_or(fault),
        _ => Err(fault),
    })
}

fn translate<T: DeserializeOwned>(answer: &str) -> Option<T> {
    let mut answer: Value = serde_json::from_str(answer).ok()?;
    let containers = match &mut answer {
        Value::Array(containers) => containers.as_mut_slice(),
        container => std::slice::from_mut(container),
    };
    for state in containers.iter_mut().filter_map(|container| container.get_mut("State")) {
        // In a list it is the word itself.
        let word = match state {
            Value::Object(state) => state.get_mut("Status"),
            word => Some(word),
        };
        if let Some(word) = word {
            match word.as_str() {
                // It has ended, and what it leaves is not cleared away yet.
                Some("stopped") => *word = "exited".into(),
                Some("configured" | "initialized") => *word = "created".into(),
                _ => {}
            }
        }
    }
    serde_json::from_value(answer).ok()
}

#[cfg(test)]
mod tests {
    use bollard::models::{
        ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary, ContainerSummaryStateEnum,
        HostConfig,
    };

    use super::*;

    fn answer<T: DeserializeOwned>(contents: &str) -> Result<T, Fault> {
        serde_json::from_str(contents).map_err(|error| Fault::JsonDataError {
            message: error.to_string(),
            contents: contents.to_owned(),
            column: error.column(),
        })
    }

    #[test]
    fn a_path_with_a_comma_is_nothing_but_a_path() {
        let mount = |typ, source: &str, target: &str, read_only| Mount {
            typ: Some(typ),
            source: Some(source.to_owned()),
            target: Some(target.to_owned()),
            read_only: Some(read_only),
            ..Default::default()
        };
        let mounts = vec![
            mount(MountType::BIND, "/prices", "/data,src=/etc", true),
            mount(MountType::VOLUME, "cache", "/cache", false),
        ];
        let host_config = Some(HostConfig { mounts: Some(mounts), ..Default::default() });
        let mut body = ContainerCreateBody { host_config, ..Default::default() };
        adapt(&mut body);
        let host = body.host_config.unwrap();
        assert_eq!(host.mounts, None);
        assert_eq!(host.binds.unwrap(), ["/prices:/data,src=/etc:ro", "cache:/cache:rw,nocopy"]);
    }

    #[test]
    fn faults_have_dockers_status() {
        let taken = "creating container storage: the container name \"x\" is already in use by 12: that name is already in use";
        assert_eq!(status(500, taken), 409);
        assert_eq!(status(500, "container 12 does not exist in database: no such container"), 404);
        assert_eq!(status(500, "normalizing image: invalid reference format"), 400);
        assert_eq!(status(404, "failed to find image A B: invalid reference format"), 400);
        assert_eq!(status(500, "disk quota exceeded"), 500);
    }

    #[test]
    fn the_words_of_its_init_are_told_from_others() {
        let words = "ERROR (catatonit:7): failed to exec pid1: Permission denied\n";
        assert_eq!(init_complaint(words), Some("Permission denied"));
        assert_eq!(init_complaint("ERROR (catatonit:7): something else"), None);
    }

    #[test]
    fn states_of_podmans_own_are_understood() {
        let inspected: ContainerInspectResponse =
            in_dockers_words(answer(r#"{"State": {"Status": "stopped", "ExitCode": 3}}"#)).unwrap();
        let state = inspected.state.unwrap();
        assert_eq!((state.status, state.exit_code), (Some(ContainerStateStatusEnum::EXITED), Some(3)));
        let listed: Vec<ContainerSummary> = in_dockers_words(answer(
            r#"[{"State": "running"}, {"State": "initialized"}, {"State": "stopped"}]"#,
        ))
        .unwrap();
        let states: Vec<_> = listed.iter().filter_map(|container| container.state).collect();
        assert_eq!(
            states,
            [
                ContainerSummaryStateEnum::RUNNING,
                ContainerSummaryStateEnum::CREATED,
                ContainerSummaryStateEnum::EXITED
            ]
        );
        let unknown: Result<Vec<ContainerSummary>, _> = in_dockers_words(answer(r#"[{"State": "lost"}]"#));
        assert!(matches!(unknown, Err(Fault::JsonDataError { .. })), "{unknown:?}");
    }
}
