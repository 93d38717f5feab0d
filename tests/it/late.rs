//! What reaches the store too late: uploads and logs that began before a result was published and end after it, by the
//! same session, by an older one and by another coordinator. What was published stays as it was.

use bt_proto::v1::agents_client::AgentsClient;
use bt_proto::v1::{self, upload_header, upload_request};
use bt_tests::{Bucket, Cluster, Options, ScriptedAgent, wait_until};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

const TRUE: &[u8] = b"whole";
const FALSE: &[u8] = b"forge";

fn sha256(data: &[u8]) -> Vec<u8> {
    Sha256::digest(data).to_vec()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn ask(cluster: &Cluster) -> String {
    cluster.json(&["submit", "--image", "none", "--name", "btctl-test"])["id"].as_str().unwrap().to_owned()
}

/// An upload whose data has been sent, and whose end has not.
struct Open {
    messages: mpsc::Sender<v1::UploadRequest>,
    call: JoinSet<Result<v1::UploadReply, Status>>,
}

impl Open {
    async fn begin(address: &str, agent: &ScriptedAgent, attempt: &str, what: upload_header::What) -> Self {
        Self::with(address, agent, attempt, what, FALSE).await
    }

    async fn with(
        address: &str,
        agent: &ScriptedAgent,
        attempt: &str,
        what: upload_header::What,
        data: &[u8],
    ) -> Self {
        let mut client = AgentsClient::connect(address.to_owned()).await.unwrap();
        let (messages, receiver) = mpsc::channel(4);
        let header = v1::UploadHeader {
            agent_id: agent.id.clone(),
            session: agent.session,
            attempt: attempt.to_owned(),
            what: Some(what),
            ..v1::UploadHeader::default()
        };
        for kind in [upload_request::Kind::Header(header), upload_request::Kind::Data(data.to_vec().into())] {
            messages.send(v1::UploadRequest { kind: Some(kind) }).await.unwrap();
        }
        let mut call = JoinSet::new();
        call.spawn(async move {
            client.upload(ReceiverStream::new(receiver)).await.map(tonic::Response::into_inner)
        });
        // The coordinator has read both once there is room for as many again.
        let all = messages.reserve_many(4).await.unwrap();
        drop(all);
        Self { messages, call }
    }

    async fn end(mut self) -> Result<v1::UploadReply, Status> {
        drop(self.messages);
        self.call.join_next().await.unwrap().unwrap()
    }
}

fn out() -> upload_header::What {
    upload_header::What::Path("out".to_owned())
}

/// The one job's published output and its log are as they were published.
fn unharmed(cluster: &Cluster, sweep: &str) {
    let at = cluster.stored(sweep, 0, 1).join("out");
    wait_until("result.json", || at.parent()?.with_file_name("result.json").exists().then_some(()));
    assert_eq!(std::fs::read(&at).unwrap(), TRUE);
    cluster.ok(&["results", "verify", sweep]);
    let fetched = cluster.dir().join(format!("fetched-{sweep}"));
    cluster.ok(&["results", "get", sweep, "-d", fetched.to_str().unwrap()]);
    assert_eq!(std::fs::read(fetched.join("0/out")).unwrap(), TRUE);
}

#[test]
fn an_upload_that_ends_after_the_result_was_published_changes_nothing() {
    let mut cluster = Cluster::without_agent(Options::default());
    cluster.add_coordinator();
    let (address, other) = (cluster.address_of(0), cluster.address_of(1));
    runtime().block_on(async {
        let mut agent = ScriptedAgent::first(&address).await;
        for superseded in [false, true] {
            let sweep = ask(&cluster);
            let attempt = agent.assignment().await.attempt;
            let late = [
                Open::begin(&address, &agent, &attempt, out()).await,
                Open::begin(&other, &agent, &attempt, out()).await,
            ];
            if superseded {
                agent = agent.again(&address, &[&attempt]).await;
            }
            let sequence = agent.succeed(&attempt, TRUE, sha256(TRUE)).await;
            assert_eq!(agent.ack(sequence).await, Some(true));
            for late in late {
                let status = late.end().await.unwrap_err();
                assert!(matches!(status.code(), tonic::Code::FailedPrecondition | tonic::Code::NotFound));
            }
            unharmed(&cluster, &sweep);
            let stored = std::fs::read_dir(cluster.stored(&sweep, 0, 1)).unwrap().count();
            assert_eq!(stored, 1, "nothing of what was late is left");
        }
    });
}

#[test]
fn a_second_end_and_a_log_after_the_end_change_nothing() {
    let cluster = Cluster::without_agent(Options::default());
    let address = cluster.address();
    runtime().block_on(async {
        let mut agent = ScriptedAgent::first(&address).await;
        let sweep = ask(&cluster);
        let attempt = agent.assignment().await.attempt;
        let log = upload_header::What::Log(true);
        let line = b"2026-01-01T00:00:00Z stdout F true\n";
        let first = Open::with(&address, &agent, &attempt, log.clone(), line).await;
        first.end().await.unwrap();
        // Begun while its attempt ran.
        let open = Open::begin(&address, &agent, &attempt, log.clone()).await;
        let sequence = agent.succeed(&attempt, TRUE, sha256(TRUE)).await;
        assert_eq!(agent.ack(sequence).await, Some(true));
        assert_eq!(open.end().await.unwrap_err().code(), tonic::Code::FailedPrecondition);
        let sequence = agent.succeed(&attempt, FALSE, sha256(FALSE)).await;
        assert!(agent.ack(sequence).await.is_some());
        let late = Open::begin(&address, &agent, &attempt, log).await;
        assert_eq!(late.end().await.unwrap_err().code(), tonic::Code::FailedPrecondition);
        unharmed(&cluster, &sweep);
        let log = std::fs::read(cluster.stored(&sweep, 0, 1).with_extension("log")).unwrap();
        assert_eq!(log, line);
        assert_eq!(cluster.ok(&["logs", &format!("{sweep}/0")]).trim(), "true");
    });
}

#[test]
fn what_has_the_name_of_a_published_file_does_not_stand_for_it() {
    for bucket in [None, Some(Bucket::start())] {
        let options = match &bucket {
            None => Options::default(),
            Some(bucket) => {
                Options { store: Some(bucket.location()), env: bucket.settings(), ..Options::default() }
            }
        };
        let cluster = Cluster::without_agent(options);
        let address = cluster.address();
        runtime().block_on(async {
            let mut agent = ScriptedAgent::first(&address).await;
            let sweep = ask(&cluster);
            let attempt = agent.assignment().await.attempt;
            let early = Open::begin(&address, &agent, &attempt, out()).await.end().await.unwrap();
            assert_eq!((early.sha256, early.stored_as), (sha256(FALSE), None));
            // The file has changed since, as one that a job writes twice.
            let again = Open::with(&address, &agent, &attempt, out(), b"third").await.end().await.unwrap();
            assert_eq!(first_name(again.stored_as()), Some("out"));
            let sequence = agent.succeed(&attempt, TRUE, sha256(TRUE)).await;
            assert_eq!(agent.ack(sequence).await, Some(true));
            if bucket.is_none() {
                unharmed(&cluster, &sweep);
            }
            wait_until("result.json is written", || {
                (cluster.database.query("select count(*) from results where not written") == ["0"])
                    .then_some(())
            });
            cluster.ok(&["results", "verify", &sweep]);
            let fetched = cluster.dir().join("fetched");
            cluster.ok(&["results", "get", &sweep, "-d", fetched.to_str().unwrap()]);
            assert_eq!(std::fs::read(fetched.join("0/out")).unwrap(), TRUE);
            // What does not count is removed, and what counts stays.
            cluster.ok(&["gc", "--older-than", "0s", &sweep]);
            cluster.ok(&["results", "verify", &sweep]);
        });
    }
}

fn first_name(stored: &str) -> Option<&str> {
    let (name, digits) = stored.rsplit_once('~')?;
    (digits.len() == 8).then_some(name)
}
