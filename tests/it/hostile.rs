//! Jobs that do their worst: each ends for the reason that is documented, soon, and no other job notices.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use bt_tests::{Cluster, Images, Options, docker, docker_finds, wait_until};

/// It has a Python; the tests' own image has none.
const PYTHON: &str = "sma-cross:1";
/// How long any of these jobs may take, from its start to the end of its attempt.
const SOON: f64 = 60.0;
/// Well-behaved jobs on the same machine.
const NEIGHBOURS: u64 = 10;

struct Case<'c> {
    what: &'c str,
    image: &'c str,
    flags: &'c [&'c str],
    command: Vec<&'c str>,
    /// How its reason begins, and what else is in it; nothing if it succeeds.
    reason: &'c [&'c str],
}

fn shell<'c>(what: &'c str, flags: &'c [&'c str], script: &'c str, reason: &'c [&'c str]) -> Case<'c> {
    Case { what, image: "btctl-test:1", flags, command: vec!["sh", "-c", script], reason }
}

fn python<'c>(what: &'c str, flags: &'c [&'c str], script: &'c str, reason: &'c [&'c str]) -> Case<'c> {
    Case { what, image: PYTHON, flags, command: vec!["python3", "-c", script], reason }
}

fn start() -> Cluster {
    let mut options = Options::default();
    options.agent.extend(["--stop-grace", "1s"].map(str::to_owned));
    Cluster::with(options)
}

#[track_caller]
fn submit(cluster: &Cluster, case: &Case<'_>) -> String {
    let mut args = vec!["submit", "--image", case.image, "--cpus", "0.25", "-m", "64m"];
    args.extend(case.flags);
    args.push("--");
    args.extend(&case.command);
    cluster.json(&args)["id"].as_str().unwrap().to_owned()
}

/// Runs all cases at once, beside a sweep that behaves, and checks how each ends. Returns their sweeps by what they do.
#[track_caller]
fn run_all<'c>(cluster: &mut Cluster, cases: &[Case<'c>]) -> HashMap<&'c str, String> {
    let agent = cluster.agent().pid();
    let sweeps: Vec<_> = cases.iter().map(|case| submit(cluster, case)).collect();
    let jobs = format!("n=1:{NEIGHBOURS}");
    let neighbour = cluster.submit(&["--name", "neighbour", "--matrix", &jobs], "echo {{ n }} > /results/n");
    let mut wrong = Vec::new();
    for (case, sweep) in cases.iter().zip(&sweeps) {
        cluster.wait_ended(sweep);
        let job = &cluster.json(&["jobs", sweep])[0];
        let told = job["reason"].as_str().unwrap_or_default();
        let took = job["usage"]["wall_seconds"].as_f64().unwrap_or(0.0);
        println!("{} | {:?} | {} {told:.100} | {took:.1} s", case.what, case.reason, job["state"]);
        let is_right = match case.reason {
            [] => job["state"] == "succeeded",
            [begins, others @ ..] => {
                told.starts_with(begins) && others.iter().all(|word| told.contains(word))
            }
        };
        if !is_right || took > SOON {
            wrong.push(format!("{}: {told} after {took} s, not {:?}", case.what, case.reason));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    cluster.wait_ended(&neighbour);
    assert_eq!(cluster.count(&neighbour, "succeeded"), NEIGHBOURS, "the neighbour suffers");
    assert!(cluster.agent().is_running() && cluster.agent().pid() == agent);
    wait_until("no container is left", || {
        let mut all = sweeps.iter().chain([&neighbour]);
        all.all(|sweep| cluster.containers(sweep).is_empty()).then_some(())
    });
    nothing_is_left(cluster);
    cases.iter().map(|case| case.what).zip(sweeps).collect()
}

fn nothing_is_left(cluster: &Cluster) {
    wait_until("the agent has forgotten all attempts", || {
        let dirs = fs::read_dir(cluster.dir().join("agent/attempts")).ok()?;
        (dirs.count() == 0).then_some(())
    });
}

/// Paths and sizes of a sweep's outputs.
fn outputs(cluster: &Cluster, sweep: &str) -> BTreeMap<String, u64> {
    let listed = cluster.json(&["results", "ls", sweep]);
    let file = |file: &serde_json::Value| {
        (file["path"].as_str().unwrap().to_owned(), file["size"].as_u64().unwrap())
    };
    listed.as_array().unwrap().iter().map(file).collect()
}

#[test]
fn whatever_a_job_does_to_its_processes_it_ends_for_its_reason() {
    const BOMB: &str = "f() { while :; do f & done; }; f 2>/dev/null & while :; do :; done";
    const THREADS: &str = "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()";
    let mut cluster = start();
    let codes = [
        (1, "exit(1)"),
        (125, "exit(125)"),
        (126, "exit(126)"),
        (127, "exit(127)"),
        (128, "exit(128)"),
        (137, "signal(9)"),
        (139, "signal(11)"),
        (255, "exit(255)"),
    ];
    let scripts = codes.map(|(code, reason)| (format!("exit {code}"), [reason]));
    let mut cases: Vec<_> =
        scripts.iter().map(|(script, reason)| shell(script, &[], script, reason)).collect();
    cases.extend([
        shell("a fork bomb", &["--pids-limit", "32", "--timeout", "2s"], BOMB, &["timeout"]),
        shell("processes without end", &["--pids-limit", "32"], "while sleep 60 & do :; done", &["nproc"]),
        python("threads without end", &["--pids-limit", "32", "-m", "256m"], THREADS, &["nproc"]),
        shell("only talks of threads", &[], "echo \"can't start new thread\" >&2", &[]),
        shell("memory", &[], "exec tail /dev/zero", &["oom"]),
        shell("a child's memory, and a good end", &[], "tail /dev/zero; echo 1 > /results/x", &["oom"]),
        shell("memory in /tmp", &[], "head -c 200m /dev/zero > /tmp/x; true", &[]),
        shell(
            "ignores SIGTERM",
            &["--timeout", "1s"],
            "trap '' TERM; while :; do sleep 1; done",
            &["timeout"],
        ),
        shell(
            "prints without end",
            &["--cpus", "0.1", "--timeout", "1s", "--log-limit", "64KiB"],
            "yes",
            &["timeout"],
        ),
        shell(
            "leaves a daemon behind",
            &[],
            "setsid sh -c 'sleep 1; echo late > /results/late; sleep 60' & echo first > /results/first",
            &[],
        ),
        shell("does nothing", &[], "", &[]),
    ]);
    let sweeps = run_all(&mut cluster, &cases);
    let files = outputs(&cluster, &sweeps["leaves a daemon behind"]);
    assert_eq!(files.keys().collect::<Vec<_>>(), ["first"], "a process outlived its container");
    let nothing = &sweeps["does nothing"];
    assert_eq!(outputs(&cluster, nothing).len(), 0);
    assert_eq!(cluster.ok(&["logs", nothing]), "");
}

/// Python that makes `depth` directories in each other, and is in the last one then.
fn dig(depth: u32, then: &str) -> String {
    format!("import os\nos.chdir('/results')\nfor _ in range({depth}): os.mkdir('d'); os.chdir('d')\n{then}")
}

#[test]
fn outputs_that_cannot_be_kept_fail_their_job_and_nothing_else() {
    let mut cluster = start();
    let deep = dig(10_000, "");
    let hidden = dig(
        3_000,
        "f = open('f', 'wb')\nfor _ in range(100): f.write(bytes(1 << 20))\nf.flush()\nwhile True: pass",
    );
    let names = "import os\nos.makedirs('/results/' + '/'.join(c * 240 for c in 'abcd'))\nfor c in 'abcd': os.chdir(('/results/' if c == 'a' else '') + c * 240)\nfor n in range(9000): open(str(n), 'w')";
    let metrics = |script: &'static str, reason: &'static [&'static str]| shell(script, &[], script, reason);
    let cases = [
        shell(
            "fills the disk",
            &["--disk", "64m"],
            "dd if=/dev/zero of=/results/x bs=64k",
            &["outputs(", "64 MiB of disk"],
        ),
        python(
            "fills it where it can't be seen",
            &["--disk", "64m", "-m", "256m"],
            &hidden,
            &["outputs(", "disk"],
        ),
        python(
            "a tree deeper than any path",
            &["-m", "256m"],
            &deep,
            &["outputs(", "longer than 1024 bytes"],
        ),
        shell(
            "too many files",
            &["--cpus", "1"],
            "cd /results; seq 100001 | xargs touch",
            &["outputs(", "more than 100000"],
        ),
        python("long names", &["-m", "256m"], names, &["outputs(", "bytes together"]),
        shell(
            "a line break in a name",
            &[],
            "touch \"$(printf '/results/a\\nb')\"",
            &["outputs(", r"a\nb", "control"],
        ),
        shell(
            "a name that is no text",
            &[],
            "touch \"$(printf '/results/a\\377')\"",
            &["outputs(", r"a\xff", "not UTF-8"],
        ),
        shell("a name that the store needs", &[], "touch /results/x#1", &["outputs(", "x#1"]),
        metrics("mkdir /results/metrics.json", &["outputs(", "a directory"]),
        metrics("head -c 2000000 /dev/zero > /results/metrics.json", &["outputs(", "metrics.json"]),
        metrics("yes '[' | head -c 100000 > /results/metrics.json", &["outputs(", "metrics.json"]),
    ];
    let sweeps = run_all(&mut cluster, &cases);
    for sweep in sweeps.values() {
        assert_eq!(outputs(&cluster, sweep).len(), 0);
    }
}

#[test]
fn odd_outputs_come_back_as_they_were_or_are_left_out() {
    let longest = "n".repeat(255);
    let names = [
        "-dash",
        "..foo",
        ".dot",
        "...",
        "a b",
        "%41",
        "späce ü",
        "a#b",
        "#",
        "x#1.csv",
        "~",
        "*?[",
        "it's",
        "\"",
        "end ",
        "end.",
        "$HOME",
        &longest,
    ];
    let mut cluster = start();
    let mut named =
        shell("odd names", &[], "cd /results; for n; do printf '<%s>' \"$n\" > \"./$n\"; done", &[]);
    named.command.push("sh");
    named.command.extend(names);
    let cases = [
        named,
        shell("a long name for much", &[], "head -c 300000 /dev/urandom > /results/$(printf %0255d 0)", &[]),
        shell(
            "links and pipes",
            &[],
            "cd /results; echo a > a; ln a b; ln -s /etc/passwd file; ln -s /etc dir; ln -s /nowhere dangling; mkfifo pipe",
            &[],
        ),
        python(
            "a socket",
            &["-m", "128m"],
            "import socket\nsocket.socket(socket.AF_UNIX).bind('/results/s')",
            &[],
        ),
        shell("goes on writing", &[], "(while :; do echo x >> /results/f; done) & sleep 0.5", &[]),
    ];
    let sweeps = run_all(&mut cluster, &cases);
    for (what, sweep) in &sweeps {
        if !outputs(&cluster, sweep).is_empty() {
            // It checks each file against the hash that was published.
            cluster.ok(&["results", "get", sweep, "-d", what]);
        }
    }
    let dir = cluster.dir().join("odd names/0");
    for name in names {
        assert_eq!(fs::read_to_string(dir.join(name)).unwrap(), format!("<{name}>"));
    }
    assert_eq!(fs::read_dir(&dir).unwrap().count(), names.len());
    let expected = BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 2)]);
    assert_eq!(outputs(&cluster, &sweeps["links and pipes"]), expected);
    assert_eq!(outputs(&cluster, &sweeps["a socket"]).len(), 0);
    assert_eq!(outputs(&cluster, &sweeps["a long name for much"])[&"0".repeat(255)], 300_000);
    let written = fs::read_to_string(cluster.dir().join("goes on writing/0/f")).unwrap();
    assert!(!written.is_empty() && written.lines().all(|line| line == "x"));
}

#[test]
fn a_sparse_file_has_its_size() {
    let mut cluster = start();
    let cases = [shell("a sparse file", &[], "truncate -s 512M /results/sparse", &[])];
    let sweeps = run_all(&mut cluster, &cases);
    assert_eq!(outputs(&cluster, &sweeps["a sparse file"])["sparse"], 512 << 20);
}

#[test]
fn what_an_image_brings_along_changes_nothing() {
    let images = Images::new();
    let image = images.name("willful");
    let lines = "USER root\nVOLUME /vol\nHEALTHCHECK --interval=1s CMD touch /tmp/healthy\nENTRYPOINT [\"sh\", \"-c\"]";
    images.build(&image, lines);
    let cluster = start();
    let script = "id -u > /results/uid; until [ -e /results/go ]; do sleep 0.1; done";
    let case = Case { what: "willful", image: &image, flags: &[], command: vec![script], reason: &[] };
    let sweep = submit(&cluster, &case);
    let container = wait_until("the job runs", || cluster.running_containers(&sweep).pop());
    let inspect = |form: &str| docker(&["inspect", "-f", form, &container]);
    assert_eq!(inspect("{{if .State.Health}}{{.State.Health.Status}}{{end}}"), "", "it is looked after");
    let volume = inspect("{{range .Mounts}}{{if eq .Type \"volume\"}}{{.Name}}{{end}}{{end}}");
    assert!(docker_finds(&["volume", "inspect", &volume]), "{volume}");
    wait_until("the job is let go", || {
        docker_finds(&["exec", &container, "touch", "/results/go"]).then_some(())
    });
    cluster.wait_count(&sweep, "succeeded", 1);
    cluster.ok(&["results", "get", &sweep, "-d", "out"]);
    assert_ne!(read(&cluster.dir().join("out/0/uid")), "0\n");
    wait_until("its volume is gone", || (!docker_finds(&["volume", "inspect", &volume])).then_some(()));
}

#[test]
fn images_that_lack_what_others_have_run_or_say_why_not() {
    let images = Images::new();
    let [file, dir, bare] = ["file", "dir", "bare"].map(|name| images.name(name));
    images.build(&file, "RUN echo x > /results");
    images.build(&dir, "RUN mkdir /results && echo x > /results/old");
    images.build(&bare, "FROM scratch\nCOPY --from=btctl-test:1 /bin/busybox /busybox");
    let mut cluster = start();
    fn case<'c>(what: &'c str, image: &'c str, command: &[&'c str], reason: &'c [&'c str]) -> Case<'c> {
        Case { what, image, flags: &[], command: command.to_vec(), reason }
    }
    let new = ["/bin/busybox", "sh", "-c", "echo new > /results/new"];
    let cases = [
        case("/results is a file", &file, &["true"], &["image(", "/results", "a file"]),
        case("/results is not empty", &dir, &new, &[]),
        case("no shell, and needs none", &bare, &["/busybox", "touch", "/results/x"], &[]),
        case("no shell, and needs one", &bare, &["sh", "-c", "true"], &["image(", "sh"]),
    ];
    let sweeps = run_all(&mut cluster, &cases);
    assert_eq!(outputs(&cluster, &sweeps["/results is not empty"]).keys().collect::<Vec<_>>(), ["new"]);
    assert_eq!(outputs(&cluster, &sweeps["no shell, and needs none"]).len(), 1);
    // It is made of nothing, so it does not bear the mark.
    images.remove(&bare);
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
