//! Agents that join: a token is traded once for a certificate of the agent's own, which is renewed, revoked, and says which
//! agent it is.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use bt_proto::v1::agents_client::AgentsClient;
use bt_proto::v1::{self, agent_message, upload_request};
use bt_tests::{Cluster, Options, Process, btctl_path, wait_until};
use bt_trust::{AgentKey, ClientTrust, OwnCertificate};
use tokio::runtime::Runtime;
use tokio_stream::iter;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use uuid::Uuid;

fn asking(coordinator: &[&str]) -> Options {
    let mut options = Options { tls: true, tokens: true, ..Options::default() };
    options.coordinator.extend(coordinator.iter().map(|flag| (*flag).to_owned()));
    options
}

/// What `--join` takes.
fn place(cluster: &Cluster) -> String {
    cluster.address().replace("https://", "")
}

fn pin(cluster: &Cluster) -> String {
    let tls = cluster.dir().join("tls").display().to_string();
    cluster.json(&["coordinator", "init", "--tls-dir", &tls])["pin"].as_str().unwrap().to_owned()
}

fn joins(cluster: &Cluster) -> Vec<String> {
    ["--join".to_owned(), place(cluster)].into()
}

fn certificate(cluster: &Cluster, agent: &str) -> String {
    fs::read_to_string(cluster.dir().join(agent).join("agent.pem")).unwrap_or_default()
}

fn agent_id(cluster: &Cluster, agent: &str) -> String {
    fs::read_to_string(cluster.dir().join(agent).join("agent-id")).unwrap().trim().to_owned()
}

#[test]
fn two_machines_join_by_three_commands_each() {
    let cluster = Cluster::without_agent(asking(&[]));
    let made = cluster.run(&[
        "token",
        "create",
        "pool",
        "--role",
        "agent",
        "--ttl",
        "1h",
        "--uses",
        "2",
        "--labels",
        "pool=spot",
    ]);
    assert_eq!(made.code, 0, "{made:?}");
    let token = made.stdout.trim();
    // What comes next is printed as it is to be pasted.
    let pin = pin(&cluster);
    let place = place(&cluster);
    let (_, port) = place.rsplit_once(':').unwrap();
    let line = made.stderr.lines().find(|line| line.contains("btctl agent --join")).unwrap_or_default();
    // Others do not reach this machine by its loopback; here it is the way.
    assert!(line.contains(&format!(":{port} --token-file FILE --ca-pin {pin}")), "{}", made.stderr);
    assert!(!line.contains("127.0.0.1"), "{line}");
    let join = format!("btctl agent --join {place} --token-file FILE --ca-pin {pin}");

    let began = Instant::now();
    let machine = |name: &str| {
        let home = cluster.dir().join(name);
        fs::create_dir(&home).unwrap();
        let join = join.replace("btctl", "./btctl").replace("FILE", "join.token");
        let script = format!(
            "install {} .\n\
             (umask 077; echo {token} > join.token)\n\
             exec {join} --name {name} --state-dir state --label pool=trusted --label disk=ssd --cpus 1",
            btctl_path().display()
        );
        let mut command = Command::new("sh");
        command.args(["-euc", &script]).current_dir(&home).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", &home);
        Process::start(name, cluster.dir(), &mut command)
    };
    let mut machines = [machine("node1"), machine("node2")];
    wait_until("both are ready", || {
        let agents = cluster.json(&["agents", "ls"]);
        let ready = agents.as_array()?.iter().filter(|agent| agent["state"] == "ready").count();
        (ready == 2).then_some(())
    });
    let took = began.elapsed();
    println!("two machines have joined within {took:?}");
    assert!(took < Duration::from_secs(300), "{took:?}");
    for agent in cluster.json(&["agents", "ls"]).as_array().unwrap() {
        // What the token says stands above what the machine says of itself.
        assert_eq!(agent["labels"]["pool"], "spot", "{agent}");
        assert_eq!(agent["labels"]["disk"], "ssd", "{agent}");
        assert!(agent["certificate_expires"].as_str().is_some(), "{agent}");
    }
    let third = machine("node3");
    wait_until("the third is not let in", || {
        third.log().contains("lets no more agents in (--uses)").then_some(())
    });
    assert_eq!(cluster.json(&["agents", "ls"]).as_array().unwrap().len(), 2);

    // From now on the token is of no use and no harm: each is known by its certificate.
    let id = token.split('_').nth(1).unwrap();
    cluster.ok(&["token", "revoke", id]);
    fs::remove_file(cluster.dir().join("node1/join.token")).unwrap();
    machines[0].kill();
    let again = cluster.dir().join("node1");
    let mut command = Command::new(btctl_path());
    command.args(["agent", "--join", &place, "--ca-pin", &pin, "--token-file", "join.token"]);
    command.args(["--name", "node1", "--state-dir", "state"]).current_dir(&again).env("HOME", &again);
    let node1 = Process::start("node1-again", cluster.dir(), &mut command);
    wait_until("it is back", || node1.log().contains("connected").then_some(()));
    let sweep = cluster.submit(&["--matrix", "n=1:4", "--agent-label", "pool=spot"], "echo $BT_PARAM_N");
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.count(&sweep, "succeeded"), 4);
    let audit = cluster.json(&["audit"]);
    let joined: Vec<_> =
        audit.as_array().unwrap().iter().filter(|entry| entry["what"] == "Agents/Certify").collect();
    assert!(joined.len() >= 2 && joined.iter().any(|entry| entry["who"] == "pool"), "{joined:?}");
}

#[test]
fn a_certificate_is_renewed_while_a_job_runs_and_revoked_within_a_heartbeat() {
    let mut cluster = Cluster::without_agent(asking(&["--agent-cert-ttl", "10s"]));
    cluster.add_agent_with("agent", &joins(&cluster));
    let sweep = cluster.submit_waiting(&[], "echo done");
    cluster.wait_count(&sweep, "running", 1);
    let (first, connected) =
        (certificate(&cluster, "agent"), cluster.agent().log().matches("connected").count());
    assert!(first.contains("-----BEGIN CERTIFICATE-----"));
    wait_until("it is renewed", || (certificate(&cluster, "agent") != first).then_some(()));
    let second = certificate(&cluster, "agent");
    wait_until("it is renewed again", || (certificate(&cluster, "agent") != second).then_some(()));
    assert_eq!(cluster.agent().log().matches("connected").count(), connected, "the line held");
    // The first one has expired by now.
    cluster.open_gate();
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.count(&sweep, "succeeded"), 1);
    assert_eq!(cluster.json(&["show", &sweep])["counts"]["failed"], 0);

    let told = cluster.run(&["agents", "revoke", "agent"]);
    assert!(told.code == 0 && told.stderr.contains("its certificates are revoked"), "{told:?}");
    let began = Instant::now();
    wait_until("it is told so, and joins no more with this key", || {
        cluster.agent().log().contains("this key was revoked").then_some(())
    });
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    wait_until("it has ended", || (!cluster.agent().is_running()).then_some(()));
    let told = cluster.run(&["agents", "revoke", "agent"]);
    assert!(told.stderr.contains("it was revoked before"), "{told:?}");
    let agents = cluster.json(&["agents", "ls"]);
    assert_eq!(agents[0]["revoked"], true, "{agents}");

    // As the message says: with a key and an id of its own it is a new agent.
    for file in ["agent-id", "agent.key"] {
        fs::remove_file(cluster.dir().join("agent").join(file)).unwrap();
    }
    cluster.add_agent_with("agent", &joins(&cluster));
    let sweep = cluster.submit(&[], "echo again");
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.count(&sweep, "succeeded"), 1);
}

/// Whoever has joined, by hand.
struct Stranger {
    endpoint: Endpoint,
    trust: ClientTrust,
    key: AgentKey,
    file: PathBuf,
}

impl Stranger {
    fn new(cluster: &Cluster, name: &str) -> Self {
        let dir = cluster.dir().join(name);
        fs::create_dir(&dir).unwrap();
        Self {
            endpoint: Endpoint::from_shared(cluster.address()).unwrap(),
            trust: ClientTrust::pinned(Some(pin(cluster).parse().unwrap())),
            key: AgentKey::open(&dir.join("agent.key")).unwrap(),
            file: dir.join("agent.pem"),
        }
    }

    async fn connect(&self, own: Option<OwnCertificate>) -> AgentsClient<Channel> {
        let trust = ClientTrust { own, ..self.trust.clone() };
        AgentsClient::new(bt_trust::connect(&self.endpoint, &trust).await.unwrap())
    }

    /// Asks to be this agent.
    async fn certify(
        &self,
        own: Option<OwnCertificate>,
        token: Option<&str>,
        agent: &str,
    ) -> Result<OwnCertificate, Status> {
        let request = self.key.request().unwrap();
        let request = v1::CertifyRequest { agent_id: agent.to_owned(), name: "stranger".to_owned(), request };
        let mut request = tonic::Request::new(request);
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let reply = self.connect(own).await.certify(request).await?.into_inner();
        Ok(self.key.keep(&self.file, &reply.certificate).unwrap())
    }
}

fn hello(agent: &str) -> v1::AgentMessage {
    let hello = v1::Hello {
        agent_id: agent.to_owned(),
        name: "stranger".to_owned(),
        session: 1_000,
        capacity: Some(v1::Resources::default()),
        ..v1::Hello::default()
    };
    v1::AgentMessage { kind: Some(agent_message::Kind::Hello(hello)) }
}

#[track_caller]
fn refused<T>(answer: Result<T, Status>, code: Code, words: &str) {
    let status = answer.err().expect("it is refused");
    assert!(status.code() == code && status.message().contains(words), "{status:?}");
}

#[test]
fn an_agent_is_itself_alone() {
    let mut cluster = Cluster::without_agent(asking(&[]));
    cluster.add_agent_with("agent", &joins(&cluster));
    let victim = agent_id(&cluster, "agent");
    let sweep = cluster.submit_waiting(&[], "echo done");
    cluster.wait_count(&sweep, "running", 1);
    let attempt = cluster.database.query("select id from attempts").remove(0);
    let token = cluster.token("others", &["--role", "agent"]);
    let person = cluster.token("ann", &["--role", "admin"]);
    let stranger = Stranger::new(&cluster, "stranger");
    let own = Uuid::new_v4().to_string();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        // Who comes with a token can't become an agent that is there, nor speak in its name.
        refused(stranger.certify(None, Some(&token), &victim).await, Code::PermissionDenied, "another key");
        refused(stranger.certify(None, None, &victim).await, Code::Unauthenticated, "give a token");
        refused(stranger.certify(None, Some(&person), &own).await, Code::PermissionDenied, "is for: agent");
        let mut by_token = tonic::Request::new(iter([hello(&victim)]));
        by_token.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let answer = stranger.connect(None).await.session(by_token).await;
        refused(answer, Code::PermissionDenied, "has a certificate of its own");

        // Nor can one that has joined.
        let certificate = stranger.certify(None, Some(&token), &own).await.unwrap();
        let mut client = stranger.connect(Some(certificate.clone())).await;
        let words = format!("is agent {own}'s");
        refused(client.session(iter([hello(&victim)])).await, Code::PermissionDenied, &words);
        let again = stranger.certify(Some(certificate.clone()), None, &victim).await;
        refused(again, Code::PermissionDenied, &words);
        let header = v1::UploadHeader {
            agent_id: victim.clone(),
            attempt: attempt.clone(),
            ..v1::UploadHeader::default()
        };
        let header = v1::UploadRequest { kind: Some(upload_request::Kind::Header(header)) };
        refused(client.upload(iter([header])).await, Code::PermissionDenied, &words);
        let session = 1;
        let secrets =
            || v1::FetchSecretsRequest { agent_id: victim.clone(), session, attempt: attempt.clone() };
        refused(client.fetch_secrets(secrets()).await, Code::PermissionDenied, &words);
        let mut by_token = tonic::Request::new(secrets());
        by_token.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let answer = stranger.connect(None).await.fetch_secrets(by_token).await;
        refused(answer, Code::PermissionDenied, "has a certificate of its own");
        let pin = v1::PinImageRequest { agent_id: victim.clone(), ..v1::PinImageRequest::default() };
        refused(client.pin_image(pin).await, Code::PermissionDenied, &words);
        // It is an agent, and no more.
        let mut sweeps = v1::sweeps_client::SweepsClient::new(
            bt_trust::connect(
                &stranger.endpoint,
                &ClientTrust { own: Some(certificate), ..stranger.trust.clone() },
            )
            .await
            .unwrap(),
        );
        refused(
            sweeps.list_sweeps(v1::ListSweepsRequest::default()).await,
            Code::PermissionDenied,
            "is for:",
        );
    });
    cluster.open_gate();
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.count(&sweep, "succeeded"), 1);
}

#[test]
fn what_can_not_join_says_what_is_missing() {
    let cluster = Cluster::without_agent(asking(&[]));
    let told = |flags: &[&str], code: i32, parts: &[&str]| {
        let told =
            cluster.run(&[&["agent", "--state-dir", "state", "--engine", "simulated"], flags].concat());
        assert_eq!(told.code, code, "{flags:?}: {told:?}");
        assert!(parts.iter().all(|part| told.stderr.contains(part)), "{flags:?}: {}", told.stderr);
    };
    let (place, pin) = (place(&cluster), pin(&cluster));
    told(&["--join", &format!("http://{place}")], 2, &["--join http://", "by TLS alone"]);
    told(&["--join", &place, "--token-file", "missing"], 1, &["missing"]);
    fs::write(cluster.dir().join("config/btctl/client.toml"), "").unwrap();
    told(&["--join", &place], 2, &["--join needs the pin", "--ca-pin"]);
    told(&["--join", &place, "--ca-pin", &pin], 1, &["has no certificate yet", "--token-file"]);

    // A coordinator that has no authority, or asks for no tokens, says so.
    let open = Cluster::without_agent(Options { tls: true, ..Options::default() });
    fs::write(cluster.dir().join("any.token"), "btctl_x_y").unwrap();
    let (place, pin) = (self::place(&open), self::pin(&open));
    told(
        &["--join", &place, "--ca-pin", &pin, "--token-file", "any.token"],
        1,
        &["--auth tokens", "needs none"],
    );
}
