//! What may be mounted where in a job's container: paths that are taken, and places in volumes.

use std::fs;
use std::path::Path;

use bt_tests::{Cluster, Images, Options, wait_until};

/// All that lies in a directory, at any depth.
fn names(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        names.push(entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            names.extend(self::names(&entry.path()));
        }
    }
    names.sort();
    names
}

#[test]
fn a_path_that_is_taken_is_refused_at_submit() {
    let cluster = Cluster::without_agent(Options::default());
    let refused = |flags: &[&str], words: &[&str]| {
        let base = ["submit", "--image", "x"];
        let told = cluster.run(&[&base[..], flags, &["--", "true"]].concat());
        assert_eq!(told.code, 2, "{flags:?}: {}", told.stderr);
        assert!(words.iter().all(|word| told.stderr.contains(word)), "{flags:?}: {}", told.stderr);
    };
    refused(&["--results", "/tmp"], &["`results`", "/tmp"]);
    refused(&["--results", "/tmp/out"], &["/tmp/out", "lies in /tmp"]);
    refused(&["-v", "scratch:/tmp"], &["`scratch`", "/tmp"]);
    refused(&["-v", "prices:/etc:ro"], &["`prices`", "/etc", "covers /etc/"]);
    refused(&["-v", "prices:/dev/shm"], &["`prices`", "/dev/shm"]);
    refused(&["--tmpfs", "/proc"], &["`tmpfs`", "/proc"]);
    refused(&["--cache", "/btctl/x"], &["`cache`", "/btctl"]);
    refused(&["-w", "/etc/hosts"], &["`working_dir`", "/etc/hosts"]);
    refused(&["-w", "/tmp/x"], &["`working_dir`", "take /tmp itself"]);
    refused(&["--cpus", "0.005"], &["0.005", "0.01"]);
    refused(&["--ulimit", "nofile=2000000"], &["nofile", "1048576"]);
    refused(&["--user", "4294967294:1"], &["`user`", "4294967294"]);
    assert_eq!(cluster.json(&["ls"]).as_array().map(Vec::len), Some(0));
}

#[test]
fn nothing_is_ever_made_in_a_volume() {
    let mut cluster = Cluster::without_agent(Options::default());
    let (p, q) = (cluster.dir().join("p"), cluster.dir().join("q"));
    fs::create_dir_all(p.join("there")).unwrap();
    fs::create_dir_all(&q).unwrap();
    fs::write(q.join("q.txt"), "in q\n").unwrap();
    fs::write(p.join("list.csv"), "old\n").unwrap();
    fs::write(cluster.dir().join("new.csv"), "new\n").unwrap();
    // Jobs run as another user.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(&p, open).unwrap();
    let (offers_p, offers_q) = (format!("p={}", p.display()), format!("q={}:ro", q.display()));
    let offers_file = format!("new={}:ro", cluster.dir().join("new.csv").display());
    let size = ["--cpus", "2", "--memory", "2GiB"];
    let offers = ["--volume", &offers_p, "--volume", &offers_q, "--volume", &offers_file];
    cluster.add_agent_with(
        "owner",
        &size.iter().chain(&offers).map(|flag| (*flag).to_owned()).collect::<Vec<_>>(),
    );
    let before = names(&p);

    let images = Images::new();
    images.build(&images.name("workdir"), "WORKDIR /data/out");
    images.build(&images.name("declares"), "VOLUME /data/cache");
    images.build(&images.name("hides"), "VOLUME /results/plots");
    let image = |name: &str| images.name(name);
    let waits = |image: &str, flags: &[&str], words: &[&str]| {
        let base = ["submit", "--image", image, "--cpus", "0.25", "-m", "64m"];
        let args = [&base[..], flags, &["--", "sh", "-c", "true"]].concat();
        let sweep = cluster.json(&args)["id"].as_str().unwrap().to_owned();
        let mut told = String::new();
        wait_until(&format!("{flags:?} waits for {words:?}"), || {
            told = cluster.ok(&["show", &sweep]);
            words.iter().all(|word| told.contains(word)).then_some(())
        });
        assert_eq!(cluster.count(&sweep, "queued"), 1, "{told}");
        let spent = cluster.database.query("select sum(failures) + sum(losses) from jobs");
        assert_eq!(spent, ["0"], "{told}");
        cluster.ok(&["cancel", &sweep]);
        assert_eq!(names(&p), before);
    };
    let missing = p.join("cache");
    let missing = missing.to_str().unwrap();
    let plain = "btctl-test:1";
    waits(plain, &["-v", "p:/data", "-v", "q:/data/cache:ro"], &["volume p", "volume q", missing]);
    waits(plain, &["-v", "p:/data:ro", "-v", "q:/data/cache:ro"], &["volume p", "volume q", missing]);
    waits(plain, &["-v", "p:/data", "-v", "new:/data/new.csv:ro"], &["no file new.csv"]);
    waits(plain, &["-v", "p:/data", "-w", "/data/out"], &["the working directory", "no directory out"]);
    waits(plain, &["-v", "p:/data:ro", "-w", "/data/list.csv"], &["list.csv is not a directory"]);
    waits(&image("workdir"), &["-v", "p:/data"], &["the working directory", "no directory out"]);
    waits(&image("declares"), &["-v", "p:/data"], &["VOLUME /data/cache", "no directory cache"]);

    let printed = |flags: &[&str], script: &str| {
        let sweep = cluster.submit(flags, script);
        cluster.wait_ended(&sweep);
        let log = cluster.ok(&["logs", &sweep]);
        assert_eq!(cluster.count(&sweep, "succeeded"), 1, "{log}");
        assert_eq!(names(&p), before);
        log
    };
    for mode in ["", ":ro"] {
        let outer = format!("p:/data{mode}");
        let told = printed(&["-v", "q:/data/there:ro", "-v", &outer], "cat /data/there/q.txt /data/list.csv");
        assert_eq!(told, "in q\nold\n");
    }
    let told = printed(&["-v", "p:/data", "-v", "new:/data/list.csv:ro"], "cat /data/list.csv");
    assert_eq!(told, "new\n");
    assert_eq!(printed(&["-v", "p:/data:ro", "-w", "/data/there"], "pwd"), "/data/there\n");

    let hides = image("hides");
    let args = ["submit", "--image", &hides, "--cpus", "0.25", "-m", "64m", "--", "sh", "-c", "true"];
    let sweep = cluster.json(&args)["id"].as_str().unwrap().to_owned();
    cluster.wait_ended(&sweep);
    let reason = cluster.json(&["jobs", &sweep])[0]["reason"].to_string();
    assert!(reason.contains("image(") && reason.contains("/results/plots"), "{reason}");
}
