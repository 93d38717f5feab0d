//! What a coordinator says, and how it ends, where Postgres is not as it must be.

use std::path::Path;
use std::process::Command;

use bt_tests::{PostgresServer, Process, btctl_path, wait_until};
use tempfile::TempDir;

/// A server that listens on a port of this machine and asks for passwords there, and a role without any rights.
fn server() -> PostgresServer {
    let server = PostgresServer::listening(&["-c", "password_encryption=scram-sha-256"]);
    server.query("create role ann login password 'right'").unwrap();
    server.query("create database plain").unwrap();
    server
}

fn url(server: &PostgresServer, rest: &str) -> String {
    format!("postgres://ann:right@127.0.0.1:{}/{rest}", server.port())
}

fn coordinator(dir: &Path, url: &str) -> Command {
    let mut command = Command::new(btctl_path());
    command
        .args(["coordinator", "--listen", "127.0.0.1:0", "--store"])
        .arg(dir.join("store"))
        .env("BTCTL_DATABASE_URL", url)
        .env("HOME", dir)
        .env("NO_COLOR", "1");
    command
}

/// Starts a coordinator that must end by itself, and returns its exit code and what it said.
fn refused(dir: &TempDir, url: &str) -> String {
    let output = coordinator(dir.path(), url).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!said.contains("at line") && !said.contains("right@"), "{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("btctl: ")).count(), 1, "{said}");
    said
}

/// Starts a coordinator that serves.
#[track_caller]
fn serves(dir: &TempDir, url: &str) -> Process {
    let mut process = Process::start("coordinator", dir.path(), &mut coordinator(dir.path(), url));
    wait_until("the coordinator listens", || {
        assert!(process.is_running(), "{}", process.log());
        process.log().contains("listening on").then_some(())
    });
    process
}

#[test]
fn a_start_says_once_what_is_wrong_and_what_would_be_right() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    let port = server.port();
    for (url, words) in [
        (format!("postgres://ann:wrong@127.0.0.1:{port}/plain"), ["password of user ann", "database URL"]),
        (format!("postgres://bob:x@127.0.0.1:{port}/plain"), ["user bob", "check the user"]),
        (url(&server, "nosuch"), ["has no database nosuch", "createdb -O ann nosuch"]),
        (url(&server, "plain"), ["GRANT CREATE ON DATABASE \"plain\" TO \"ann\"", "CREATE ON SCHEMA public"]),
        (format!("postgres://ann:p@ss/w#d@127.0.0.1:{port}/plain"), ["must be escaped", "@ as %40"]),
        ("mysql://db/x".to_owned(), ["postgres://user:password@host", "can't be read"]),
    ] {
        let said = refused(&dir, &url);
        for word in words {
            assert_eq!(said.matches(word).count(), 1, "{word} in: {said}");
        }
    }
    // What it says helps.
    server.query("grant create on database plain to ann").unwrap();
    server.query_in("plain", "grant usage, create on schema public to ann").unwrap();
    drop(serves(&dir, &url(&server, "plain")));
}

#[test]
fn a_certificate_that_can_not_be_trusted_ends_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let (key, certificate) = (dir.path().join("key"), dir.path().join("certificate"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=127.0.0.1",
            "-days",
            "2",
            "-keyout",
        ])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    assert!(made.is_ok_and(|output| output.status.success()), "openssl makes a certificate");
    let server = PostgresServer::with_certificate(&key, &certificate);
    server.query("create role ann login superuser password 'right'").unwrap();
    let root = certificate.display();
    for rest in [
        "postgres?sslmode=verify-full".to_owned(),
        format!("postgres?sslmode=verify-full&sslrootcert={root}"),
    ] {
        let said = refused(&dir, &url(&server, &rest));
        assert!(said.contains("can't be encrypted") && said.contains("sslrootcert=FILE"), "{said}");
    }
    drop(serves(&dir, &url(&server, "postgres?sslmode=require")));
}

/// PgBouncer before a server.
fn pooler(server: &PostgresServer, dir: &TempDir, more: &str) -> (Process, u16) {
    let port = bt_tests::free_port();
    let settings = format!(
        "[databases]\n* = host=127.0.0.1 port={} user=ann password=right\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_type = any\n{more}\n",
        server.port()
    );
    let path = dir.path().join(format!("pooler-{port}.ini"));
    std::fs::write(&path, settings).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), mode).unwrap();
    let mut command = server.as_its_user("pgbouncer");
    command.arg(&path);
    let process = Process::start(&format!("pooler-{port}"), dir.path(), &mut command);
    wait_until("the pooler listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    (process, port)
}

#[test]
fn a_pooler_of_transactions_is_refused_and_one_of_sessions_taken() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    server.query("alter role ann superuser").unwrap();
    let extra = "ignore_startup_parameters = extra_float_digits";
    for (more, words) in [
        (format!("pool_mode = transaction\n{extra}"), "pool_mode = session"),
        (format!("pool_mode = statement\n{extra}"), "pool_mode = session"),
        ("pool_mode = session".to_owned(), "ignore_startup_parameters"),
    ] {
        let (_pooler, port) = pooler(&server, &dir, &more);
        let said = refused(&dir, &format!("postgres://ann@127.0.0.1:{port}/plain"));
        assert!(said.contains(words), "{more}: {said}");
    }
    let (_pooler, port) = pooler(&server, &dir, &format!("pool_mode = session\n{extra}"));
    drop(serves(&dir, &format!("postgres://ann@127.0.0.1:{port}/plain")));
}

/// `btctl up` in a directory of its own.
fn up(dir: &TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(btctl_path());
    command.args(args).arg("--state-dir").arg(dir.path().join("state")).env("HOME", dir.path());
    command
}

#[test]
fn up_in_the_background_ends_as_it_would_in_the_foreground() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    let url = url(&server, "nosuch");
    let last = |output: std::process::Output| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = said.lines().rfind(|line| line.starts_with("btctl: ")).map(str::to_owned);
        (output.status.code(), line)
    };
    let flags = ["--no-agent", "--listen", "127.0.0.1:0", "--database-url", &url];
    let foreground = last(up(&dir, &[&["up"], &flags[..]].concat()).output().unwrap());
    let background = last(up(&dir, &[&["up", "--detach"], &flags[..]].concat()).output().unwrap());
    assert_eq!(foreground, background);
    assert!(foreground.1.unwrap().contains("has no database nosuch"));
}

#[test]
fn an_idle_up_ends_clean() {
    let dir = tempfile::tempdir().unwrap();
    let started = up(&dir, &["up", "--detach", "--no-agent", "--listen", "127.0.0.1:0"]).output().unwrap();
    assert!(started.status.success(), "{started:?}");
    let ended = up(&dir, &["down"]).output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let log = std::fs::read_to_string(dir.path().join("state/log")).unwrap_or_default();
    assert!(!log.contains("unfinished") && !log.contains("cut off"), "{log}");
}

#[test]
fn the_page_says_that_postgres_is_away_and_comes_back() {
    let (mut server, dir) = (server(), tempfile::tempdir().unwrap());
    server.query("grant create on database plain to ann").unwrap();
    server.query_in("plain", "grant usage, create on schema public to ann").unwrap();
    let coordinator = serves(&dir, &url(&server, "plain"));
    let log = coordinator.log();
    let address = log.split("listening on ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let address = address.trim_start_matches("http://").trim_end_matches([',', ';', '.']).to_owned();
    let ask = |flags: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["-s", "--max-time", "60", "-w", "\n%{http_code}"])
            .args(flags)
            .arg(format!("http://{address}/"));
        let output = curl.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (page, status) = text.rsplit_once('\n').unwrap();
        (status.to_owned(), page.to_owned())
    };
    assert_eq!(ask(&[]).0, "200");
    server.kill();
    let (status, page) = ask(&[]);
    assert!(status == "503" && page.contains("Not now") && page.contains("Postgres"), "{status}: {page}");
    assert!(page.contains("http-equiv=\"refresh\"") && page.contains("hx-trigger"), "it asks again: {page}");
    server.start_again();
    wait_until("the page is back", || {
        let (status, page) = ask(&["-H", "HX-Request: true"]);
        (status == "200").then(|| assert!(page.contains("id=\"live\""), "{page}"))
    });
}
