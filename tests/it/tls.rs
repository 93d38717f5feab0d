//! TLS: lines that are encrypted, and checked against the pin of the cluster's own authority.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bt_tests::http::curl;
use bt_tests::{Cluster, Options, wait_until};
use serde_json::Value;

fn init(cluster: &Cluster, dir: &Path, flags: &[&str]) -> Value {
    let dir = dir.display().to_string();
    cluster.json(&[&["coordinator", "init", "--tls-dir", &dir], flags].concat())
}

/// The pin of the authority as others compute it.
fn pin_by_python(dir: &Path) -> String {
    let script = "import hashlib, ssl, sys\n\
                  der = ssl.PEM_cert_to_DER_cert(open(sys.argv[1]).read())\n\
                  print('sha256:' + hashlib.sha256(der).hexdigest())";
    let told = Command::new("python3").args(["-c", script]).arg(dir.join("ca.pem")).output();
    String::from_utf8(told.expect("python3 is installed").stdout).unwrap().trim().to_owned()
}

#[test]
fn a_sweep_runs_with_nothing_in_clear() {
    let mut cluster = Cluster::without_agent(Options { tls: true, tokens: true, ..Options::default() });
    // All that the agent says and hears goes by here.
    let line = cluster.line();
    line.keep_what_passes();
    cluster.add_agent_over("agent", &line);
    let sweep = cluster
        .submit(&["--name", "unheard", "--matrix", "word=xylophone-7,zither-9"], "echo $BT_PARAM_WORD");
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.count(&sweep, "succeeded"), 2);
    assert!(cluster.ok(&["logs", &format!("{sweep}/0")]).contains("xylophone-7"));
    // What the page keeps in the browser is never sent in clear either.
    let ca = cluster.dir().join("tls/ca.pem").display().to_string();
    let token = format!("token@{}", cluster.dir().join("admin.token").display());
    let own = "Sec-Fetch-Site: same-origin";
    let logged_in = curl(&cluster, "/login", &["--cacert", &ca, "-H", own, "--data-urlencode", &token]);
    let cookie = logged_in.header("set-cookie");
    assert!(cookie.contains("btctl_session=") && cookie.contains("; secure"), "{}", logged_in.headers);

    let passed = line.what_passed();
    let holds = |word: &str| passed.windows(word.len()).any(|part| part == word.as_bytes());
    assert!(passed.len() > 5_000, "{} bytes went by", passed.len());
    for word in ["xylophone", "zither", "unheard", "btctl_", "PRI * HTTP", "btctl.v1.Agents"] {
        assert!(!holds(word), "{word} went by in clear");
    }
}

#[test]
fn only_the_authority_with_the_pin_is_believed() {
    let cluster = Cluster::without_agent(Options { tls: true, ..Options::default() });
    let (tls, other) = (cluster.dir().join("tls"), cluster.dir().join("other"));
    let ours = init(&cluster, &tls, &[]);
    assert_eq!(ours["is_new_authority"], false, "the authority stays: {ours}");
    let pin = ours["pin"].as_str().unwrap();
    assert_eq!(pin, pin_by_python(&tls));
    let foreign = init(&cluster, &other, &["--name", "btctl.example"]);
    assert_ne!(foreign["pin"], ours["pin"]);
    assert_eq!(foreign["names"][0], "btctl.example");
    for key in ["ca.key", "server.key"] {
        assert_eq!(fs::metadata(tls.join(key)).unwrap().permissions().mode() & 0o777, 0o600, "{key}");
    }

    let told = |flags: &[&str], code: i32, parts: &[&str]| {
        let began = Instant::now();
        let told = cluster.run(&[flags, &["ls"]].concat());
        assert_eq!(told.code, code, "{flags:?}: {told:?}");
        assert!(parts.iter().all(|part| told.stderr.contains(part)), "{flags:?}: {}", told.stderr);
        assert!(began.elapsed() < Duration::from_secs(60), "{flags:?} took {:?}", began.elapsed());
    };
    told(&[], 0, &[]);
    told(&["--ca-pin", &pin.to_uppercase().replace("SHA256", "sha256")], 0, &[]);
    told(
        &["--ca-pin", foreign["pin"].as_str().unwrap()],
        5,
        &[pin, "another cluster, or someone in between"],
    );
    told(&["--ca-pin", "sha256:12"], 2, &["ca_pin (--ca-pin)", "64 hexadecimal digits"]);
    let address = cluster.address();
    let (_, host_and_port) = address.split_once("://").unwrap();
    // An address without a scheme means TLS where there is a pin.
    told(&["--coordinator", host_and_port], 0, &[]);
    told(&["--coordinator", &format!("http://{host_and_port}")], 5, &["hangs up", "begins with https://"]);
    // Whoever says http where TLS is spoken is told so, as far as he listens.
    let plain = curl_plain(host_and_port);
    assert!(plain.contains("400") && plain.contains("https://"), "{plain}");
    let (_, port) = host_and_port.split_once(':').unwrap();
    told(&["--coordinator", &format!("https://127.0.0.2:{port}")], 5, &["127.0.0.2"]);
    // A server that speaks no TLS.
    let plain = Cluster::without_agent(Options::default());
    let address = plain.address().replace("http://", "https://");
    told(&["--coordinator", &address], 5, &["speaks no TLS"]);
}

/// What an address answers that is asked in clear.
fn curl_plain(address: &str) -> String {
    let told =
        Command::new("curl").args(["-s", "-i", "--max-time", "10", &format!("http://{address}/")]).output();
    String::from_utf8(told.expect("curl is installed").stdout).unwrap()
}

#[test]
fn a_certificate_is_renewed_while_it_serves() {
    let mut cluster = Cluster::without_agent(Options { tls: true, ..Options::default() });
    let tls = cluster.dir().join("tls");
    let ca = tls.join("ca.pem").display().to_string();
    let shown = || fs::read_to_string(tls.join("server.pem")).unwrap();
    let address = cluster.address();
    let page = |name: &str, answers: bool| {
        let (_, port) = address.rsplit_once(':').unwrap();
        let told = Command::new("curl")
            .args([
                "-s",
                "--max-time",
                "10",
                "--cacert",
                &ca,
                "--resolve",
                &format!("{name}:{port}:127.0.0.1"),
            ])
            .arg(format!("https://{name}:{port}/healthz"))
            .status()
            .expect("curl is installed");
        (told.success() == answers).then_some(())
    };
    wait_until("the page answers by its name", || page("localhost", true));
    wait_until("it has no other name", || page("btctl.example", false));
    let before = shown();
    init(&cluster, &tls, &["--name", "btctl.example"]);
    assert_ne!(shown(), before);
    wait_until("it has the new name, without a restart", || page("btctl.example", true));
    // A broken one changes nothing.
    fs::write(tls.join("server.pem"), "nothing").unwrap();
    wait_until("the broken one is told of", || {
        cluster.coordinator().log().contains("can't be used; the one before is shown").then_some(())
    });
    assert!(page("btctl.example", true).is_some());
    assert!(cluster.run(&["ls"]).code == 0);
    let answer = curl(&cluster, "/healthz", &["--cacert", &ca]);
    assert_eq!(answer.status, 200);
}

#[test]
fn half_a_handshake_holds_up_nobody() {
    let cluster = Cluster::without_agent(Options { tls: true, ..Options::default() });
    let address = cluster.address();
    let (_, address) = address.split_once("://").unwrap();
    let silent: Vec<_> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    let garbage: Vec<_> = (0..50)
        .map(|_| {
            let mut socket = TcpStream::connect(address).unwrap();
            std::io::Write::write_all(&mut socket, &[0x16, 3, 1, 0xff, 0xff, 1, 2, 3]).unwrap();
            socket
        })
        .collect();
    let began = Instant::now();
    assert_eq!(cluster.run(&["ls"]).code, 0);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop((silent, garbage));
}

#[test]
fn what_init_finds_is_not_written_over() {
    let cluster = Cluster::without_agent(Options::default());
    let dir = cluster.dir().join("half");
    init(&cluster, &dir, &[]);
    fs::remove_file(dir.join("ca.key")).unwrap();
    let ca = fs::read(dir.join("ca.pem")).unwrap();
    let dir = dir.display().to_string();
    let told = cluster.run(&["coordinator", "init", "--tls-dir", &dir]);
    assert!(told.code == 1 && told.stderr.contains("ca.pem without ca.key"), "{told:?}");
    assert_eq!(fs::read(Path::new(&dir).join("ca.pem")).unwrap(), ca);
    let told = cluster.run(&["coordinator", "init", "--tls-dir", "new", "--name", "http://x:7600"]);
    assert!(told.code != 0 && told.stderr.contains("without a port"), "{told:?}");
    let told = cluster.ok(&["coordinator", "init", "--tls-dir", "fresh", "--name", "btctl.example"]);
    for part in
        ["pin sha256:", "--tls-dir", "BTCTL_COORDINATOR=https://btctl.example:7600 BTCTL_CA_PIN=sha256:"]
    {
        assert!(told.contains(part), "{told}");
    }
    // Nothing listens in clear because a certificate is missing.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let told = cluster.run(&[
        "coordinator",
        "--listen",
        &format!("127.0.0.1:{port}"),
        "--store",
        "s",
        "--tls-dir",
        "empty",
        "--database-url",
        &cluster.database.url(),
    ]);
    assert!(told.code == 1 && told.stderr.contains("empty/server.pem"), "{told:?}");
}
