//! What a job finds in its container besides its image: its user's name, its host's, time zones, threads and caches; and
//! that the image's own settings hold.

use bt_tests::{Cluster, Images, wait_until};

/// What the only job of a sweep that must succeed printed.
#[track_caller]
fn printed(cluster: &Cluster, image: &str, flags: &[&str], command: &[&str]) -> String {
    let base = ["submit", "--image", image, "-m", "128m"];
    let submitted = cluster.json(&[&base[..], flags, &["--"], command].concat());
    let sweep = submitted["id"].as_str().unwrap();
    cluster.wait_ended(sweep);
    let log = cluster.ok(&["logs", sweep]);
    assert_eq!(cluster.count(sweep, "succeeded"), 1, "{log}{}", cluster.ok(&["jobs", sweep]));
    log
}

const PLAIN: &str = "btctl-test:1";

#[test]
fn a_job_is_somebody_and_knows_its_host() {
    let cluster = Cluster::start();
    let shell = |flags: &[&str], script: &str| printed(&cluster, PLAIN, flags, &["sh", "-c", script]);
    let who = "id -un; id -gn; echo $USER $LOGNAME $HOME; id -Gn | tr ' ' '\\n' | sort | tr '\\n' ' '";
    let told = shell(&["--user", "12345:54321", "--group-add", "777"], who);
    assert_eq!(told, "btctl\nbtctl-54321\nbtctl btctl /tmp\nbtctl-54321 btctl-777 ");
    assert!(shell(&[], "id -un; grep -c \"$(hostname)\" /etc/hosts").ends_with("btctl\n1\n"));
    // The image's own entries stay.
    let images = Images::new();
    let lines = "RUN [\"sh\", \"-c\", \"mkdir -p /etc && echo app:x:7:7::/:/bin/sh > /etc/passwd && echo team:x:7: > /etc/group\"]";
    images.build(&images.name("users"), lines);
    let image = images.name("users");
    let as_user = |user: &str| {
        printed(&cluster, &image, &["--user", user], &["sh", "-c", "id -un; id -gn; wc -l < /etc/passwd"])
    };
    assert_eq!(as_user("7:7"), "app\nteam\n1\n");
    assert_eq!(as_user("8:7"), "btctl\nteam\n2\n");
    let python = "import getpass, os, pwd, socket\n\
        print(getpass.getuser(), pwd.getpwuid(os.getuid()).pw_name, socket.gethostbyname(socket.gethostname()))";
    let told = printed(&cluster, "libraries:1", &["--user", "12345:12345"], &["python3", "-c", python]);
    assert_eq!(told, "btctl btctl 127.0.0.1\n");
}

#[test]
fn a_time_zone_holds_in_every_image_and_a_wrong_one_is_refused() {
    let cluster = Cluster::start();
    let shell = |flags: &[&str]| printed(&cluster, PLAIN, flags, &["sh", "-c", "date -d @0 '+%H:%M %Z'"]);
    assert_eq!(shell(&["--timezone", "Asia/Kolkata"]), "05:30 IST\n");
    assert_eq!(shell(&["--timezone", "America/New_York"]), "19:00 EST\n");
    assert_eq!(shell(&["-e", "TZ=Asia/Tokyo"]), "09:00 JST\n");
    assert_eq!(shell(&[]), "00:00 UTC\n");
    let python = "import time, zoneinfo, datetime\n\
        epoch = datetime.datetime.fromtimestamp(0, zoneinfo.ZoneInfo('Europe/London'))\n\
        print(time.localtime(0).tm_hour, time.tzname[0], epoch.hour)";
    let told = printed(&cluster, "libraries:1", &["--timezone", "Asia/Tokyo"], &["python3", "-c", python]);
    assert_eq!(told, "9 JST 1\n");
    for (zone, hint) in [
        ("America/NewYork", "did you mean America/New_York?"),
        ("Mars/Base", "such as Asia/Kolkata"),
        ("UTC+3", "Etc/GMT-3"),
    ] {
        let refused = cluster.run(&["submit", "--image", PLAIN, "--timezone", zone, "--", "true"]);
        assert_eq!(refused.code, 2);
        assert!(refused.stderr.contains(zone) && refused.stderr.contains(hint), "{}", refused.stderr);
    }
}

#[test]
fn what_an_image_sets_wins_over_defaults_and_the_manifest_over_both() {
    let cluster = Cluster::start();
    let images = Images::new();
    images.build(
        &images.name("env"),
        "ENV HOME=/home/x TZ=EST5EDT OMP_NUM_THREADS=7 NUMBA_CACHE_DIR=/tmp/n USER=ada",
    );
    let image = images.name("env");
    let script =
        ["sh", "-c", "echo $HOME $TZ $OMP_NUM_THREADS $NUMBA_CACHE_DIR $USER $LOGNAME $MKL_NUM_THREADS"];
    assert_eq!(
        printed(&cluster, &image, &["--cpus", "2"], &script),
        "/home/x EST5EDT 7 /tmp/n ada btctl 2\n"
    );
    let flags = [
        "--cpus",
        "2",
        "--timezone",
        "Asia/Tokyo",
        "--cache",
        "/c",
        "-e",
        "HOME=/tmp",
        "-e",
        "OMP_NUM_THREADS=3",
    ];
    assert_eq!(printed(&cluster, &image, &flags, &script), "/tmp Asia/Tokyo 3 /c/numba ada btctl 2\n");
    let args = ["submit", "--image", image.as_str(), "-m", "64m", "--", "true"];
    let sweep = cluster.json(&args)["id"].as_str().unwrap().to_owned();
    cluster.wait_ended(&sweep);
    let given = wait_until("the result tells what it was given", || {
        let shown = cluster.run(&["results", "show", &format!("{sweep}/0"), "-o", "json"]);
        let shown: serde_json::Value = serde_json::from_str(&shown.stdout).ok()?;
        Some(shown["given"].clone()).filter(|given| given.is_object())
    });
    assert_eq!((&given["timezone"], &given["threads"]), (&"EST5EDT".into(), &7.into()));
}

#[test]
fn jobs_of_a_sweep_share_a_cache_and_others_do_not() {
    let cluster = Cluster::start();
    for containers in ["each", "reuse"] {
        let script = "d=$NUMBA_CACHE_DIR; mkdir -p $d && touch $d/made-$BT_JOB && ls $d | wc -l && echo $d $MPLCONFIGDIR";
        let run = |name: &str| {
            let flags =
                ["--name", name, "--matrix", "n=1:3", "--max-parallel", "1", "--containers", containers];
            let sweep = cluster.submit(&flags, script);
            cluster.wait_count(&sweep, "succeeded", 3);
            let logs = (0..3).map(|job| cluster.ok(&["logs", &format!("{sweep}/{job}")]));
            let mut logs: Vec<_> = logs.collect();
            logs.sort();
            logs
        };
        let dirs = "/btctl/cache/numba /btctl/cache/matplotlib\n";
        let expected = [1, 2, 3].map(|seen| format!("{seen}\n{dirs}"));
        assert_eq!(run("first"), expected, "{containers}");
        assert_eq!(run("second"), expected, "{containers}");
    }
}
