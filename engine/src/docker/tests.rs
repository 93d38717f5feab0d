//! The whole of the engine, on a real one. Without one these tests fail: nothing else shows that containers run.

mod volumes;

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, KillContainerOptionsBuilder, RemoveVolumeOptions,
};
use bt_model::id::SweepId;
use bt_model::log::{LogLine, Stream as Source};
use futures_util::{StreamExt, stream};

use super::*;
use crate::volumes::MountSource as Place;
use crate::{Bind, Exit, LogPlace, Network, Stop, classify};

const IMAGE: &str = "btctl-test-busybox:1";
const BUSYBOX: &str = "/bin/busybox";

/// An engine with the tests' image, which is made of nothing but a static busybox.
async fn docker() -> Docker {
    let docker = Docker::connect(4, Duration::from_secs(120))
        .await
        .unwrap_or_else(|error| panic!("these tests need an engine: {error}"));
    // Other tests, in other processes, want the same image.
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let lock = File::create(target.join("btctl-test-busybox.lock")).unwrap();
    tokio::task::block_in_place(|| lock.lock()).unwrap();
    if docker.client.inspect_image(IMAGE).await.is_err() {
        import(&docker).await;
    }
    docker
}

async fn import(docker: &Docker) {
    let root = tempfile::tempdir().unwrap();
    let bin = root.path().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::copy(BUSYBOX, bin.join("busybox"))
        .unwrap_or_else(|error| panic!("copy {BUSYBOX} (Debian: busybox-static): {error}"));
    for name in ["sh", "sleep", "tail", "cat", "id", "touch", "kill", "test", "head", "seq"] {
        symlink("busybox", bin.join(name)).unwrap();
    }
    fs::write(bin.join("unrunnable"), "no program").unwrap();
    let packed = Command::new("tar").arg("-C").arg(root.path()).args(["-c", "."]).output().unwrap();
    assert!(packed.status.success(), "{packed:?}");
    let options = CreateImageOptionsBuilder::new()
        .from_src("-")
        .repo("btctl-test-busybox")
        .tag("1")
        .changes(vec![r#"CMD ["sh", "-c", "echo by default"]"#.to_owned()])
        .build();
    let body = bollard::body_full(packed.stdout.into());
    let mut steps = docker.client.create_image(Some(options), Some(body), None).boxed();
    while let Some(step) = steps.next().await {
        step.unwrap();
    }
}

fn spec(command: &[&str]) -> ContainerSpec {
    ContainerSpec {
        attempt: AttemptId::random(),
        agent: AgentId::random(),
        sweep: SweepId::random(),
        job: 7,
        is_process: false,
        image: IMAGE.to_owned(),
        command: command.iter().map(|&part| part.to_owned()).collect(),
        env: vec![("GREETING".to_owned(), "a b".to_owned())],
        hostname: "job".to_owned(),
        user: Some((1234, 1234)),
        cpu_millis: 500,
        memory_bytes: 64 << 20,
        entrypoint: None,
        working_dir: None,
        groups: Vec::new(),
        gpus: Vec::new(),
        cores: Vec::new(),
        shm_bytes: 1 << 20,
        pids: 100,
        ulimits: Vec::new(),
        tmpfs: Vec::new(),
        binds: Vec::new(),
        network: Network::None,
        reach: Vec::new(),
        platform: None,
        runtime: None,
        stop: Stop { signal: "SIGTERM".to_owned(), grace: Duration::from_secs(10) },
        log_limit: 1 << 20,
    }
}

fn bind(source: &Path, target: &str, read_only: bool) -> Bind {
    Bind { source: Place::Path(source.to_owned()), target: target.to_owned(), read_only }
}

fn sh(script: &str) -> ContainerSpec {
    spec(&["sh", "-c", script])
}

/// Runs a container to its end, and removes it whatever happens.
async fn run(docker: &Docker, spec: &ContainerSpec) -> (Result<Exit, Error>, Vec<LogLine>) {
    let ended = async {
        docker.create(spec).await?;
        docker.start(spec.attempt).await?;
        let (exit, lines) = tokio::join!(docker.wait(spec.attempt), all_lines(docker, spec.attempt, None));
        Ok((exit, lines))
    };
    let ended = tokio::time::timeout(Duration::from_secs(60), ended).await;
    docker.remove(spec.attempt).await.unwrap();
    match ended.expect("a container ends within a minute") {
        Ok((exit, lines)) => (exit, lines),
        Err(error) => (Err(error), Vec::new()),
    }
}

async fn all_lines(docker: &Docker, attempt: AttemptId, since: Option<LogPlace>) -> Vec<LogLine> {
    docker.logs(attempt, since).map(Result::unwrap).collect().await
}

fn text(lines: &[LogLine], stream: Source) -> String {
    let lines = lines.iter().filter(|line| line.stream == stream);
    String::from_utf8(lines.flat_map(|line| line.text.clone()).collect()).unwrap()
}

fn reason(exit: Result<Exit, Error>) -> Option<String> {
    classify(&exit.unwrap()).map(|reason| reason.to_string())
}

async fn until_printed(docker: &Docker, attempt: AttemptId) {
    let lines = docker.logs(attempt, None);
    tokio::pin!(lines);
    let first = tokio::time::timeout(Duration::from_secs(30), lines.next()).await.unwrap();
    first.expect("the job prints a line").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_and_output_arrive() {
    let docker = docker().await;
    let (exit, lines) = run(&docker, &sh("echo out $GREETING; echo err >&2")).await;
    assert_eq!(reason(exit), None);
    assert_eq!(text(&lines, Source::Stdout), "out a b\n");
    assert_eq!(text(&lines, Source::Stderr), "err\n");
    let (exit, _) = run(&docker, &sh("exit 3")).await;
    assert_eq!(reason(exit).as_deref(), Some("exit(3)"));
    let (exit, _) = run(&docker, &sh("exit 127")).await;
    assert_eq!(reason(exit).as_deref(), Some("exit(127)"));
    let (exit, _) = run(&docker, &sh("kill -SEGV $$")).await;
    assert_eq!(reason(exit).as_deref(), Some("signal(11)"));
    let (exit, lines) = run(&docker, &spec(&[])).await;
    assert_eq!((reason(exit), text(&lines, Source::Stdout).as_str()), (None, "by default\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_comes_whole() {
    let docker = docker().await;
    let (exit, lines) = run(&docker, &sh("seq 1 5000; printf 'no newline'")).await;
    assert_eq!(reason(exit), None);
    let mut expected: String = (1..=5000).map(|n| format!("{n}\n")).collect();
    expected.push_str("no newline");
    assert!(text(&lines, Source::Stdout) == expected);
    let long = "head -c 100000 /dev/zero | busybox tr '\\0' x";
    let (_, lines) = run(&docker, &sh(long)).await;
    assert!(text(&lines, Source::Stdout) == "x".repeat(100_000));
}

/// Bytes of every kind that an engine's log has been seen to change: invalid and cut UTF-8, NUL, carriage returns, a long
/// line whose characters lie across the places where it is cut, and an end without a newline.
const STRANGE: &str = "printf 'caf\\351\\n\\0\\r\\n\\377\\376'; seq 1 50; printf x; yes \u{e9} | head -n 40000 | busybox tr -d '\\n'; \
                       echo; seq 51 60 >&2; printf 'no newline\\303'";

fn strange() -> (Vec<u8>, Vec<u8>) {
    let count = |range: std::ops::RangeInclusive<u32>| range.map(|n| format!("{n}\n")).collect::<String>();
    let head = [b"caf\xe9\n\0\r\n\xff\xfe", count(1..=50).as_bytes(), b"x"].concat();
    let stdout = [&head, "\u{e9}".repeat(40_000).as_bytes(), b"\nno newline\xc3"].concat();
    (stdout, count(51..=60).into_bytes())
}

fn bytes(lines: &[LogLine]) -> (Vec<u8>, Vec<u8>) {
    let of =
        |stream| lines.iter().filter(move |line| line.stream == stream).flat_map(|line| line.text.clone());
    (of(Source::Stdout).collect(), of(Source::Stderr).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_has_the_jobs_bytes_and_goes_on_from_any_of_them() {
    let docker = docker().await;
    let spec = sh(STRANGE);
    docker.create(&spec).await.unwrap();
    docker.start(spec.attempt).await.unwrap();
    let attached = all_lines(&docker, spec.attempt, None).await;
    // It was read once by the connection that was attached; from now on by the engine's own copy.
    let copied = all_lines(&docker, spec.attempt, None).await;
    let (stdout, stderr) = strange();
    let mut place = LogPlace::default();
    let mut wrong = Vec::new();
    for (n, line) in attached.iter().enumerate() {
        place.take(line);
        let rest = bytes(&all_lines(&docker, spec.attempt, Some(place.clone())).await);
        let is_right = rest.0 == stdout[place.stdout.bytes as usize..]
            && rest.1 == stderr[place.stderr.bytes as usize..];
        if n % 9 == 0 && !is_right {
            wrong.push(n);
        }
    }
    docker.remove(spec.attempt).await.unwrap();
    assert!(bytes(&attached) == (stdout.clone(), stderr.clone()), "as attached");
    assert!(bytes(&copied) == (stdout, stderr), "as the engine keeps it");
    assert!(attached.len() > 60, "{}", attached.len());
    assert_eq!(wrong, Vec::<usize>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_outgrows_the_engines_copy_comes_whole() {
    let docker = docker().await;
    let (_, lines) = run(&docker, &sh("yes 0123456789abcdefghijklmnopqrstuvwxyz | head -n 2000000")).await;
    let expected = b"0123456789abcdefghijklmnopqrstuvwxyz\n".repeat(2_000_000);
    assert!(bytes(&lines).0 == expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_container_and_one_out_of_memory_are_told_apart() {
    let docker = docker().await;
    let spec = sh("echo up; sleep 100");
    docker.create(&spec).await.unwrap();
    docker.start(spec.attempt).await.unwrap();
    until_printed(&docker, spec.attempt).await;
    let kill = KillContainerOptionsBuilder::new().signal("KILL").build();
    docker.client.kill_container(&name(spec.attempt), Some(kill)).await.unwrap();
    let exit = docker.wait(spec.attempt).await;
    docker.remove(spec.attempt).await.unwrap();
    assert_eq!(reason(exit).as_deref(), Some("signal(9)"));
    let mut hog = spec.clone();
    hog.attempt = AttemptId::random();
    hog.memory_bytes = 16 << 20;
    hog.command = vec!["tail".to_owned(), "/dev/zero".to_owned()];
    let (exit, _) = run(&docker, &hog).await;
    assert_eq!(reason(exit).as_deref(), Some("oom"));
    hog.attempt = AttemptId::random();
    hog.command = vec!["sh".to_owned(), "-c".to_owned(), "tail /dev/zero; exit 0".to_owned()];
    let (exit, _) = run(&docker, &hog).await;
    assert_eq!(reason(exit).as_deref(), Some("oom"), "a child was killed");
}

/// The kernel's log tells of ten kills in five seconds at most, and the Engine misses some of jobs that end at once. Only
/// root may ask the kernel itself: what the Engine misses, a user's agent does not hear of.
#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_short_jobs_that_lost_a_process_for_memory_is_told() {
    let docker = docker().await;
    let one = async |n: usize| {
        let loses = !n.is_multiple_of(3);
        let script = if loses { "busybox tail /dev/zero; exit 0" } else { "exit 0" };
        let spec = ContainerSpec { memory_bytes: 8 << 20, ..sh(script) };
        let (exit, _) = run(&docker, &spec).await;
        (loses, exit.unwrap())
    };
    let ended: Vec<_> = stream::iter(0..60).map(one).buffer_unordered(4).collect().await;
    let may_miss = !rustix::process::geteuid().is_root();
    let is_wrong = |loses: bool, told: bool| told && !loses || loses && !told && !may_miss;
    let wrong: Vec<_> =
        ended.iter().filter(|(loses, exit)| is_wrong(*loses, exit.oom) || exit.code != 0).collect();
    assert!(wrong.is_empty(), "{} wrong: {wrong:?}", wrong.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ignores_sigterm_is_killed_after_its_grace() {
    let docker = docker().await;
    for (script, grace, expected) in [
        ("trap '' TERM; echo up; while :; do sleep 1; done", 1, "signal(9)"),
        ("trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done", 600, "exit(5)"),
    ] {
        let spec = sh(script);
        docker.create(&spec).await.unwrap();
        docker.start(spec.attempt).await.unwrap();
        until_printed(&docker, spec.attempt).await;
        // A stop that waits for the whole of the long grace outlasts the test's own limit.
        docker.stop(spec.attempt, Duration::from_secs(grace)).await.unwrap();
        let exit = docker.wait(spec.attempt).await;
        docker.stop(spec.attempt, Duration::ZERO).await.unwrap();
        docker.remove(spec.attempt).await.unwrap();
        assert_eq!(reason(exit).as_deref(), Some(expected));
    }
    docker.stop(AttemptId::random(), Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_be_started_is_the_images_fault() {
    let docker = docker().await;
    for (command, told) in [
        ("nosuch", "image(the command `nosuch` can't be started in the image: No such file or directory)"),
        (
            "/bin/unrunnable",
            "image(the command `/bin/unrunnable` can't be started in the image: Permission denied)",
        ),
    ] {
        let (exit, _) = run(&docker, &spec(&[command])).await;
        assert_eq!(exit.unwrap_err().reason().to_string(), told);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_had_is_told_in_time() {
    let docker = docker().await;
    // A registry that is not there, so that the test needs no network and depends on none.
    let error = docker.pull("127.0.0.1:9/btctl/nosuch:1", None, &|_| {}).await.unwrap_err();
    assert!(matches!(error, Error::ImageRefused { .. }), "{error:?}");
    assert!(error.to_string().contains("127.0.0.1:9/btctl/nosuch:1 can't be pulled: "), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
    let id = format!("sha256:{}", "0".repeat(64));
    assert_eq!(docker.image(&id).await.unwrap(), None);
    let error = docker.image("Not An Image").await.unwrap_err();
    assert!(matches!(error, Error::NoSuchImage { .. }), "{error:?}");
    let mut spec = sh("true");
    spec.image = id;
    let error = docker.create(&spec).await.unwrap_err();
    assert!(matches!(error, Error::NoSuchImage { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_image_is_known_by_its_id() {
    let docker = docker().await;
    let found = docker.image(IMAGE).await.unwrap().unwrap();
    assert!(found.id.starts_with("sha256:") && found.digests.is_empty(), "{found:?}");
    assert_eq!(docker.image(&found.id).await.unwrap().unwrap(), found);
    let mut pinned = sh("true");
    pinned.image = found.id;
    assert_eq!(reason(run(&docker, &pinned).await.0), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_can_be_made_twice_and_nothing_runs_twice() {
    let docker = docker().await;
    let dir = tempfile::tempdir().unwrap();
    crate::collect::make_results_dir(dir.path(), Some((1234, 1234))).unwrap();
    let mut spec = sh("echo ran >>/results/log");
    spec.binds.push(bind(dir.path(), "/results", false));
    let state =
        async || docker.list(spec.agent).await.unwrap().into_iter().map(|found| (found.attempt, found.state));
    for _ in 0..2 {
        docker.create(&spec).await.unwrap();
    }
    assert_eq!(state().await.collect::<Vec<_>>(), [(Some(spec.attempt), FoundState::Created)]);
    let never = docker.wait(spec.attempt).await;
    for _ in 0..2 {
        docker.start(spec.attempt).await.unwrap();
        docker.wait(spec.attempt).await.unwrap();
    }
    assert_eq!(state().await.collect::<Vec<_>>(), [(Some(spec.attempt), FoundState::Exited)]);
    for _ in 0..2 {
        docker.remove(spec.attempt).await.unwrap();
    }
    assert_eq!(state().await.count(), 0);
    assert!(matches!(never, Err(Error::NotStarted { .. })), "{never:?}");
    assert_eq!(fs::read_to_string(dir.path().join("log")).unwrap(), "ran\n");
    let gone = docker.wait(spec.attempt).await;
    assert!(matches!(gone, Err(Error::Gone { attempt }) if attempt == spec.attempt), "{gone:?}");
    let gone = docker.start(spec.attempt).await;
    assert!(matches!(gone, Err(Error::Gone { .. })), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_vanishes_ends_the_wait_and_the_log() {
    let docker = docker().await;
    let spec = sh("echo up; sleep 100");
    docker.create(&spec).await.unwrap();
    docker.start(spec.attempt).await.unwrap();
    until_printed(&docker, spec.attempt).await;
    let removing = async {
        tokio::task::yield_now().await;
        docker.remove(spec.attempt).await.unwrap();
    };
    let log = async { docker.logs(spec.attempt, None).collect::<Vec<_>>().await };
    let all = async { tokio::join!(docker.wait(spec.attempt), log, removing) };
    let (exit, log, ()) = tokio::time::timeout(Duration::from_secs(60), all).await.unwrap();
    // The engine may show the killed container for a moment before it is gone.
    assert!(matches!(exit, Err(Error::Gone { .. }) | Ok(Exit { code: 137, .. })), "{exit:?}");
    assert!(log.len() <= 2, "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_engine_is_told_in_one_sentence() {
    let told = async |host: &str| {
        Docker::connect_to(host, 1, Duration::from_secs(9))
            .await
            .err()
            .expect("there is no engine")
            .to_string()
    };
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("docker.sock");
    let host = format!("unix://{}", socket.display());
    assert!(told(&host).await.contains("install Docker"), "{}", told(&host).await);
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(told(&host).await.contains("start the container engine"), "{}", told(&host).await);
    assert!(
        told("tcp://127.0.0.1:9").await.contains("nothing answers at"),
        "{}",
        told("tcp://127.0.0.1:9").await
    );
    assert!(told("ssh://host").await.contains("unix:// or tcp://"), "{}", told("ssh://host").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_says_what_it_is() {
    let version = docker().await.version().await.unwrap();
    assert!(version.starts_with("docker ") || version.starts_with("podman "), "{version}");
}
