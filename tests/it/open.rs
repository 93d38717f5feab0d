//! A result in the very image that made it.

use std::io::Write;
use std::process::{Command, Stdio};

use bt_tests::{Cluster, Finished, btctl_path};

/// Runs `btctl results open` with this on its standard input.
fn open(cluster: &Cluster, args: &[&str], input: &str) -> Finished {
    let mut command = Command::new(btctl_path());
    command.args(["results", "open"]).args(args).env("BTCTL_COORDINATOR", cluster.address());
    command.env("HOME", cluster.dir()).env_remove("BTCTL_CONFIG");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Dropped at once: the session sees the end of its input.
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Finished {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn no_containers_are_left(cluster: &Cluster) {
    let agent = cluster.database.query("select id from agents").remove(0);
    bt_tests::wait_until("the session's container is gone", || {
        let filter = format!("label=btctl.agent={agent}");
        let listed = Command::new("docker").args(["ps", "-aq", "--filter", &filter]).output().unwrap();
        listed.stdout.is_empty().then_some(())
    });
    let guests = cluster.dir().join("agent/guests");
    assert!(!guests.exists() || guests.read_dir().unwrap().next().is_none(), "nothing is left on disk");
}

#[test]
fn a_pickle_is_loaded_by_the_pandas_that_wrote_it() {
    let cluster = Cluster::start();
    let make = "import pandas, pickle; \
                pickle.dump(pandas.Series([1.5, 2.25], name='equity'), open('/results/equity.pkl', 'wb'))";
    let args = [
        "submit",
        "--image",
        "sma-cross:1",
        "--name",
        "frames",
        "--entrypoint",
        "python",
        "-m",
        "512m",
        "--",
        "-c",
        make,
    ];
    let sweep = cluster.json(&args)["id"].as_str().unwrap().to_owned();
    cluster.wait_count(&sweep, "succeeded", 1);
    let read = "import pickle, pandas; s = pickle.load(open('/results/equity.pkl','rb')); print(s.name, s.sum(), pandas.__version__)";
    let opened = open(&cluster, &["frames/0", "--in-image"], read);
    assert_eq!(opened.code, 0, "{opened:?}");
    assert!(opened.stdout.starts_with("equity 3.75 "), "{opened:?}");
    assert!(opened.stderr.contains("1 file, "), "{opened:?}");
    // A program of the user's own, which starts where the files are.
    let listed = open(&cluster, &["frames", "--in-image", "--", "sh", "-c", "ls; id -u; cat"], "typed");
    assert_eq!(listed.code, 0, "{listed:?}");
    assert!(listed.stdout.starts_with("equity.pkl\n") && listed.stdout.ends_with("typed"), "{listed:?}");
    let failed = open(&cluster, &["frames", "--in-image", "--", "python", "-c", "raise SystemExit(7)"], "");
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.stderr.contains("exit code 7"), "{failed:?}");
    no_containers_are_left(&cluster);
    assert_eq!(cluster.database.query("select count(*) from attempts"), ["1"], "a session is no attempt");
}

#[test]
fn an_image_without_python_opens_a_shell_in_which_the_result_can_be_changed_and_is_not() {
    let cluster = Cluster::start();
    let script = "mkdir -p /results/a/b; head -c 3000000 /dev/zero > /results/a/b/big; echo x > /results/x";
    let sweep = cluster.submit(&["--name", "plain"], script);
    cluster.wait_count(&sweep, "succeeded", 1);
    let typed = "wc -c < a/b/big; echo y > x; rm -r a; cat x; ls /sys/class/net";
    let opened = open(&cluster, &["plain/0", "--in-image"], typed);
    assert_eq!(opened.code, 0, "{opened:?}");
    assert_eq!(opened.stdout, "3000000\ny\nlo\n", "{opened:?}");
    cluster.ok(&["results", "get", "plain", "-d", "got"]);
    assert_eq!(std::fs::read_to_string(cluster.dir().join("got/0/x")).unwrap(), "x\n");
    no_containers_are_left(&cluster);
}

#[test]
fn what_can_not_be_opened_is_told() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&["--name", "damaged"], "echo good > /results/x");
    let failing = cluster.submit(&["--name", "failing"], "exit 1");
    cluster.wait_count(&sweep, "succeeded", 1);
    cluster.wait_ended(&failing);
    let check = |args: &[&str], code: i32, told: &str| {
        let opened = open(&cluster, args, "");
        assert_eq!(opened.code, code, "{args:?}: {opened:?}");
        assert!(opened.stderr.contains(told), "{args:?}: {opened:?}");
    };
    check(&["damaged/0"], 2, "--in-image");
    check(&["failing/0", "--in-image"], 3, "has no published result");
    check(&["damaged/7", "--in-image"], 3, "job 7");
    check(&["nobody/0", "--in-image"], 3, "nobody");
    let stored = cluster.store().join(format!("damaged-{}/0/1/x", &sweep[..8]));
    std::fs::write(stored, "evil\n").unwrap();
    check(&["damaged/0", "--in-image"], 1, "x is damaged in the store");
    no_containers_are_left(&cluster);
}
