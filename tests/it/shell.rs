//! A shell in an image without a job (`btctl shell`): where it is opened, what it sees, and that nothing of it is left.

use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Command, Output};

use bt_tests::{Cluster, Options, btctl_path, docker, free_port, wait_until};

fn shell(cluster: &Cluster, args: &[&str], typed: &str) -> Output {
    let keyboard = cluster.dir().join("typed");
    fs::write(&keyboard, typed).unwrap();
    let mut command = Command::new(btctl_path());
    command.arg("shell").args(args).env("BTCTL_COORDINATOR", cluster.address()).current_dir(cluster.dir());
    command.stdin(File::open(&keyboard).unwrap()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn it_has_an_agents_volumes_and_hardening_and_leaves_nothing() {
    let mut cluster = Cluster::without_agent(Options::default());
    let none = shell(&cluster, &["--image", "btctl-test:1"], "");
    assert!(text(&none.stderr).contains("no agent is connected"), "{none:?}");

    let prices = cluster.dir().join("prices");
    fs::create_dir_all(&prices).unwrap();
    fs::write(prices.join("p.csv"), "date,close\n").unwrap();
    let offer = format!("prices={}", prices.display());
    let flags = |more: &[&str]| {
        let flags = [&["--cpus", "2", "--memory", "1GiB"], more].concat();
        flags.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    cluster.add_agent_with("empty", &flags(&[]));
    cluster.add_agent_with("holder", &flags(&["--volume", &offer]));
    let args = ["--image", "btctl-test:1", "--cpus", "0.5", "--memory", "64MiB"];
    let with = |more: &[&'static str]| [&args[..], more].concat();

    let script = "cat /data/p.csv; touch /data/x 2>/dev/null || echo read-only; touch /x 2>/dev/null || echo hard; \
                  ls /sys/class/net; exit 7\n";
    let printed = shell(&cluster, &with(&["-v", "prices:/data"]), script);
    assert_eq!(text(&printed.stdout), "date,close\nread-only\nhard\nlo\n", "{printed:?}");
    assert!(text(&printed.stderr).contains("exit code 7"), "{printed:?}");
    let printed = shell(&cluster, &with(&["--agent", "empty", "--", "echo", "hello"]), "");
    assert_eq!((printed.status.code(), text(&printed.stdout).as_str()), (Some(0), "hello\n"), "{printed:?}");

    for (more, words) in [
        (&["--agent", "empty", "-v", "prices:/data"][..], "the agent empty can't have it"),
        (&["-v", "nothing:/data"], "none of the 2 agents that take work fits"),
        (&["--agent", "nobody"], "nobody"),
        (&["--image", "btctl-test:none"], "btctl-test:none"),
        (&["--memory", "1TiB"], "none of the 2 agents"),
    ] {
        let refused = shell(&cluster, &with(more), "");
        assert_ne!(refused.status.code(), Some(0), "{more:?}");
        assert!(text(&refused.stderr).contains(words), "{more:?}: {refused:?}");
    }

    // A port of this machine leads into the container, which has no network; a second one finds nobody there.
    let page = cluster.dir().join("prices/p.csv");
    let ports = [free_port(), free_port()].map(|port| port.to_string());
    let forward = [format!("{}:8000", ports[0]), format!("{}:8001", ports[1])];
    let serve = "exec httpd -f -p 127.0.0.1:8000 -h /data";
    let flags =
        ["-v", "prices:/data", "--forward", &forward[0], "--forward", &forward[1], "--", "sh", "-c", serve];
    let mut served = cluster.spawn("served", &[&["shell"], &args[..], &flags[..]].concat());
    let ask = |port: &str| {
        let url = format!("http://127.0.0.1:{port}/p.csv");
        Command::new("curl").args(["-sS", "-m", "20", &url]).output().unwrap()
    };
    let told = wait_until("the page is served", || {
        let told = ask(&ports[0]);
        told.status.success().then(|| text(&told.stdout))
    });
    assert_eq!(told, "date,close\n");
    // Larger than what is on its way at once, and by several at a time.
    let large: String = (0..1_000_000).map(|number| format!("{number},\n")).collect();
    fs::write(&page, &large).unwrap();
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| text(&ask(&ports[0]).stdout) == large)).collect();
        assert!(asked.into_iter().all(|asked| asked.join().unwrap()));
    });
    assert!(!ask(&ports[1]).status.success());
    wait_until("it is told", || served.log().contains("nothing answers at port 8001").then_some(()));
    served.kill();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let refused = shell(&cluster, &[&args[..], &["--forward", &port]].concat(), "");
    assert!(text(&refused.stderr).contains("can't be listened at"), "{refused:?}");

    // It is gone with its user.
    let mut open = cluster.spawn("user", &[&["shell"], &with(&["--", "sleep", "4321"])[..]].concat());
    let runs = || docker(&["ps", "--no-trunc", "--format", "{{.Command}}"]).contains("sleep 4321");
    wait_until("the shell is open", || runs().then_some(()));
    open.kill();
    wait_until("the shell is gone", || (!runs()).then_some(()));
}
