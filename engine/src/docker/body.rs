//! From a container's spec to what the Engine is asked for. Pure.
//!
//! Every container is hardened here, and nowhere can a spec soften it: no capabilities, no new privileges, a read-only
//! root, and nothing of the machine but the spec's binds.

use std::collections::{BTreeSet, HashMap};

use bollard::models::{
    ContainerCreateBody, DeviceRequest, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType,
    MountVolumeOptions, ResourcesUlimits,
};
use bt_model::manifest::{Host, HostPort};

use crate::docker::{LABEL_AGENT, LABEL_ATTEMPT, LABEL_JOB, LABEL_SWEEP};
use crate::volumes::MountSource;
use crate::{Bind, ContainerSpec, Network};

/// The most that a `/tmp` holds. It counts as the job's memory, of which it takes half at most.
const TMP_BYTES_MAX: u64 = 1 << 30;
/// Files of log that the Engine keeps for an agent that is away: the one that is written and the one before.
const LOG_FILES: u32 = 2;
/// The least that each of them holds, however little of the log is kept in the end: what is overwritten before the agent
/// has read it would be missing from the log's beginning.
const LOG_FILE_LEAST: u64 = 16 << 20;

pub(super) fn of(spec: &ContainerSpec) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        entrypoint: spec.entrypoint.clone(),
        working_dir: spec.working_dir.clone(),
        cmd: (!spec.command.is_empty()).then(|| spec.command.clone()),
        env: Some(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        hostname: Some(spec.hostname.clone()),
        user: spec.user.map(|(uid, gid)| format!("{uid}:{gid}")),
        labels: Some(HashMap::from([
            (LABEL_ATTEMPT.to_owned(), spec.attempt.to_string()),
            (LABEL_AGENT.to_owned(), spec.agent.to_string()),
            (LABEL_SWEEP.to_owned(), spec.sweep.to_string()),
            (LABEL_JOB.to_owned(), spec.job.to_string()),
        ])),
        tty: Some(false),
        open_stdin: Some(false),
        attach_stdin: Some(false),
        // An image may name others; what the manifest says, or says nothing of, holds.
        stop_signal: Some(spec.stop.signal.clone()),
        stop_timeout: Some(signed(spec.stop.grace.as_secs())),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..Default::default() }),
        host_config: Some(host_config(spec)),
        ..Default::default()
    }
}

fn host_config(spec: &ContainerSpec) -> HostConfig {
    let memory = signed(spec.memory_bytes);
    HostConfig {
        nano_cpus: Some(signed(spec.cpu_millis.saturating_mul(1_000_000))),
        cpuset_cpus: (!spec.cores.is_empty()).then(|| list(&spec.cores)),
        memory: Some(memory),
        // Memory and swap together: equal means no swap.
        memory_swap: Some(memory),
        pids_limit: Some(spec.pids.into()),
        shm_size: Some(signed(spec.shm_bytes)),
        ulimits: (!spec.ulimits.is_empty()).then(|| spec.ulimits.iter().map(ulimit).collect()),
        group_add: (!spec.groups.is_empty()).then(|| spec.groups.iter().map(u32::to_string).collect()),
        runtime: spec.runtime.clone(),
        device_requests: (!spec.gpus.is_empty()).then(|| {
            vec![DeviceRequest {
                device_ids: Some(spec.gpus.iter().map(u32::to_string).collect()),
                capabilities: Some(vec![vec!["gpu".to_owned()]]),
                ..Default::default()
            }]
        }),
        mounts: Some(spec.binds.iter().map(mount).collect()),
        extra_hosts: extra_hosts(spec),
        network_mode: Some(
            match spec.network {
                Network::None => "none",
                Network::Bridge => "bridge",
            }
            .to_owned(),
        ),
        readonly_rootfs: Some(true),
        tmpfs: Some(tmpfs(spec)),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        init: Some(true),
        log_config: Some(HostConfigLogConfig {
            // The one driver of Docker that keeps any byte.
            typ: Some("local".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), spec.log_limit.max(LOG_FILE_LEAST).to_string()),
                ("max-file".to_owned(), LOG_FILES.to_string()),
                ("compress".to_owned(), "false".to_owned()),
            ])),
        }),
        ..Default::default()
    }
}

/// As the engine reads it: `0,3`.
fn list(cores: &[u32]) -> String {
    let cores: Vec<_> = cores.iter().map(u32::to_string).collect();
    cores.join(",")
}

/// `/tmp` and what else the job asks for. Executable, because numba and others load from there what they have just
/// compiled.
fn tmpfs(spec: &ContainerSpec) -> HashMap<String, String> {
    let tmp = ("/tmp".to_owned(), (spec.memory_bytes / 2).min(TMP_BYTES_MAX));
    let options = |size| format!("rw,exec,nosuid,nodev,mode=1777,size={size}");
    [tmp].into_iter().chain(spec.tmpfs.iter().cloned()).map(|(path, size)| (path, options(size))).collect()
}

/// Names that the container knows. Where there is a network, the engine gives the container's own an address of it.
fn extra_hosts(spec: &ContainerSpec) -> Option<Vec<String>> {
    if spec.network != Network::None {
        return None;
    }
    let own = format!("{}:127.0.0.1", spec.hostname);
    let reached = spec.reach.iter().zip(HostPort::inside(&spec.reach));
    let names = reached.filter_map(|(reached, inside)| match &reached.host {
        Host::Name(name) => Some(format!("{name}:{inside}")),
        Host::Address(_) => None,
    });
    let names: BTreeSet<_> = names.collect();
    Some(std::iter::once(own).chain(names).collect())
}

fn ulimit((name, soft, hard): &(String, i64, i64)) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.clone()), soft: Some(*soft), hard: Some(*hard) }
}

/// A mount and not a `-v` bind, since the Engine makes the missing source of a `-v`.
fn mount(bind: &Bind) -> Mount {
    let (typ, source) = match &bind.source {
        MountSource::Path(path) => (MountType::BIND, path.to_string_lossy().into_owned()),
        MountSource::Engine(name) => (MountType::VOLUME, name.clone()),
    };
    // What the image has at that path is never copied into somebody's volume.
    let no_copy = MountVolumeOptions { no_copy: Some(true), ..Default::default() };
    Mount {
        volume_options: (typ == MountType::VOLUME).then_some(no_copy),
        typ: Some(typ),
        source: Some(source),
        target: Some(bind.target.clone()),
        read_only: Some(bind.read_only),
        ..Default::default()
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bt_model::id::{AgentId, AttemptId, SweepId};

    use super::*;
    use crate::Stop;

    fn spec() -> ContainerSpec {
        ContainerSpec {
            attempt: AttemptId::random(),
            agent: AgentId::random(),
            sweep: SweepId::random(),
            job: 7,
            is_process: false,
            image: "x:1".to_owned(),
            entrypoint: None,
            command: Vec::new(),
            working_dir: None,
            hostname: "job".to_owned(),
            env: Vec::new(),
            user: Some((1234, 5678)),
            groups: vec![7],
            cpu_millis: 200,
            memory_bytes: 5 << 30,
            gpus: vec![2, 3],
            cores: vec![0, 3],
            shm_bytes: 1 << 20,
            pids: 100,
            ulimits: vec![("nofile".to_owned(), 10, 20)],
            tmpfs: vec![("/scratch".to_owned(), 4096)],
            binds: vec![Bind {
                source: MountSource::Engine("nfs".into()),
                target: "/data".into(),
                read_only: true,
            }],
            network: Network::None,
            reach: Vec::new(),
            platform: None,
            runtime: Some("runsc".to_owned()),
            stop: Stop { signal: "SIGINT".to_owned(), grace: Duration::from_secs(9) },
            log_limit: 1 << 20,
        }
    }

    #[test]
    fn the_engine_is_asked_for_just_these_cpus() {
        assert_eq!(of(&spec()).host_config.unwrap().cpuset_cpus.as_deref(), Some("0,3"));
        let any = of(&ContainerSpec { cores: Vec::new(), ..spec() });
        assert_eq!(any.host_config.unwrap().cpuset_cpus, None);
    }

    #[test]
    fn the_engine_is_asked_for_just_these_gpus() {
        let host = of(&spec()).host_config.unwrap();
        let request = &host.device_requests.unwrap()[0];
        assert_eq!(request.device_ids, Some(vec!["2".to_owned(), "3".to_owned()]));
        assert_eq!(request.capabilities, Some(vec![vec!["gpu".to_owned()]]));
        assert_eq!(request.count, None);
        let none = of(&ContainerSpec { gpus: Vec::new(), ..spec() }).host_config.unwrap();
        assert_eq!(none.device_requests, None);
    }

    #[test]
    fn every_container_is_hardened() {
        let body = of(&spec());
        let host = body.host_config.unwrap();
        assert_eq!(body.user.as_deref(), Some("1234:5678"));
        assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
        assert_eq!(host.security_opt, Some(vec!["no-new-privileges".to_owned()]));
        assert_eq!((host.readonly_rootfs, host.init, host.privileged), (Some(true), Some(true), None));
        assert_eq!(host.network_mode.as_deref(), Some("none"));
        assert_eq!(
            (host.memory, host.memory_swap, host.nano_cpus),
            (Some(5 << 30), Some(5 << 30), Some(200_000_000))
        );
        assert_eq!((host.pid_mode, host.ipc_mode, host.devices, host.binds), (None, None, None, None));
        let mount = &host.mounts.unwrap()[0];
        assert_eq!((mount.typ, mount.read_only), (Some(MountType::VOLUME), Some(true)));
        assert_eq!(mount.volume_options.as_ref().and_then(|options| options.no_copy), Some(true));
    }
}
