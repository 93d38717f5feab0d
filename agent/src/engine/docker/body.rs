//! From a container's spec to what the Engine is asked for. Pure.
//!
//! Every container is hardened here, and nowhere can a spec soften it: no capabilities, no new privileges, a read-only
//! root, and nothing of the machine but the spec's binds.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceRequest, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType,
    MountVolumeOptions, ResourcesUlimits,
};

use crate::engine::docker::{LABEL_AGENT, LABEL_ATTEMPT, LABEL_JOB, LABEL_SWEEP};
use crate::engine::{Bind, ContainerSpec, Network};
use crate::volumes::Source;

/// The most that a `/tmp` holds. It counts as the job's memory, of which it takes half at most.
const TMP_BYTES_MAX: u64 = 1 << 30;
/// Files of log that the Engine keeps: the one that is written and the one before.
const LOG_FILES: u32 = 2;

pub(super) fn of(spec: &ContainerSpec) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        entrypoint: spec.entrypoint.clone(),
        working_dir: spec.working_dir.clone(),
        cmd: (!spec.command.is_empty()).then(|| spec.command.clone()),
        env: Some(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
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
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), spec.log_limit.max(1).to_string()),
                ("max-file".to_owned(), LOG_FILES.to_string()),
            ])),
        }),
        ..Default::default()
    }
}

/// `/tmp` and what else the job asks for. Executable, because numba and others load from there what they have just
/// compiled.
fn tmpfs(spec: &ContainerSpec) -> HashMap<String, String> {
    let tmp = ("/tmp".to_owned(), (spec.memory_bytes / 2).min(TMP_BYTES_MAX));
    let options = |size| format!("rw,exec,nosuid,nodev,mode=1777,size={size}");
    [tmp].into_iter().chain(spec.tmpfs.iter().cloned()).map(|(path, size)| (path, options(size))).collect()
}

fn ulimit((name, soft, hard): &(String, i64, i64)) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.clone()), soft: Some(*soft), hard: Some(*hard) }
}

/// A mount and not a `-v` bind, since the Engine makes the missing source of a `-v`.
fn mount(bind: &Bind) -> Mount {
    let (typ, source) = match &bind.source {
        Source::Path(path) => (MountType::BIND, path.to_string_lossy().into_owned()),
        Source::Engine(name) => (MountType::VOLUME, name.clone()),
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
