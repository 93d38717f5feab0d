//! The notice that the machine is being taken back by its owner, as clouds give it for spot machines.
//!
//! Where the notices stand: [AWS](https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html)
//! (and the lifecycle state of an autoscaling group),
//! [Google](https://cloud.google.com/compute/docs/instances/create-use-preemptible#detecting_if_an_instance_was_preempted),
//! [Azure](https://learn.microsoft.com/en-us/azure/virtual-machines/linux/scheduled-events).

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::sleep;
use tracing::debug;

/// How often the notice is looked for; AWS asks for five seconds at most.
const LOOK: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(2);
/// What is left when AWS says so, and when Google or Azure do, at least.
const AWS_LEFT: Duration = Duration::from_secs(120);
const SHORT_LEFT: Duration = Duration::from_secs(30);
/// The address at which all three clouds answer.
const METADATA: &str = "http://169.254.169.254";

/// Where the notice comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    Aws,
    Gcp,
    Azure,
    /// It appears.
    File(PathBuf),
    /// It answers with a success.
    Url(String),
}

impl FromStr for Notice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "aws" => Ok(Self::Aws),
            "gcp" => Ok(Self::Gcp),
            "azure" => Ok(Self::Azure),
            _ => match text.split_once(':') {
                Some(("file", path)) if path.starts_with('/') => Ok(Self::File(path.into())),
                Some(("url", url)) if url.starts_with("http://") => Ok(Self::Url(url.to_owned())),
                _ => Err("write aws, gcp, azure, file:/absolute/path or url:http://...".to_owned()),
            },
        }
    }
}

/// Looks for the notice until it comes. Returns how long the machine will still be there, if that is known.
pub(crate) async fn watch(notice: &Notice) -> Option<Duration> {
    // For tests, and for proxies of the clouds' own address.
    let base = std::env::var("BTCTL_METADATA_URL").unwrap_or_else(|_| METADATA.to_owned());
    let client = client();
    loop {
        match look(notice, &client, &base).await {
            Ok(Some(left)) => return left,
            Ok(None) => {}
            // No notice can be had now; the machine goes on as long as it does.
            Err(error) => debug!(error = format!("{error:#}"), "the notice can't be looked for"),
        }
        sleep(LOOK).await;
    }
}

/// One look: nothing while there is no notice.
async fn look(
    notice: &Notice,
    client: &reqwest::Client,
    base: &str,
) -> anyhow::Result<Option<Option<Duration>>> {
    match notice {
        Notice::File(path) => Ok(path.exists().then_some(None)),
        Notice::Url(url) => {
            let answer = client.get(url).send().await.context("ask the URL")?;
            Ok(answer.status().is_success().then_some(None))
        }
        Notice::Aws => aws(client, base).await,
        Notice::Gcp => {
            let url = format!("{base}/computeMetadata/v1/instance/preempted");
            let answer =
                client.get(url).header("Metadata-Flavor", "Google").send().await?.error_for_status()?;
            let is_preempted = answer.text().await?.trim().eq_ignore_ascii_case("true");
            Ok(is_preempted.then_some(Some(SHORT_LEFT)))
        }
        Notice::Azure => {
            let url = format!("{base}/metadata/scheduledevents?api-version=2020-07-01");
            let answer = client.get(url).header("Metadata", "true").send().await?.error_for_status()?;
            let events: Value = serde_json::from_str(&answer.text().await?)?;
            let mut events = events["Events"].as_array().into_iter().flatten();
            let ends = |event: &&Value| matches!(event["EventType"].as_str(), Some("Preempt" | "Terminate"));
            Ok(events.find(ends).map(|_| Some(SHORT_LEFT)))
        }
    }
}

fn client() -> reqwest::Client {
    bt_store::install_tls();
    reqwest::Client::builder().timeout(ANSWER).no_proxy().build().unwrap_or_default()
}

async fn aws(client: &reqwest::Client, base: &str) -> anyhow::Result<Option<Option<Duration>>> {
    let token = client
        .put(format!("{base}/latest/api/token"))
        .header("X-aws-ec2-metadata-token-ttl-seconds", "60")
        .send()
        .await?
        .error_for_status()?
        .text()
        .await?;
    let ask = |path: &str| {
        let url = format!("{base}/latest/meta-data/{path}");
        client.get(url).header("X-aws-ec2-metadata-token", token.as_str()).send()
    };
    let action = ask("spot/instance-action").await?;
    if action.status().is_success() {
        let action: Value = serde_json::from_str(&action.text().await?)?;
        let time = action["time"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
        let left = time.and_then(|time| Duration::try_from(time.duration_since(Timestamp::now())).ok());
        return Ok(Some(Some(left.unwrap_or(AWS_LEFT))));
    }
    let state = ask("autoscaling/target-lifecycle-state").await?;
    let ends = state.status().is_success() && state.text().await?.starts_with("Terminated");
    Ok(ends.then_some(Some(AWS_LEFT)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    /// Answers every request by what stands for its beginning, as the clouds' servers do, and 404 otherwise.
    async fn metadata(answers: &'static [(&'static str, &'static str)]) -> (String, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let found = answers.iter().find(|(start, _)| request.starts_with(start));
                let (status, body) = found.map_or(("404 Not Found", ""), |(_, body)| ("200 OK", *body));
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (format!("http://{address}"), serving)
    }

    async fn seen(
        notice: &str,
        answers: &'static [(&'static str, &'static str)],
    ) -> Option<Option<Duration>> {
        let client = client();
        let (base, _serving) = metadata(answers).await;
        look(&notice.parse().unwrap(), &client, &base).await.unwrap()
    }

    #[tokio::test]
    async fn every_cloud_says_it_in_its_own_way() {
        const TOKEN: (&str, &str) = ("PUT /latest/api/token", "secret");
        let gone = (
            "GET /latest/meta-data/spot/instance-action",
            r#"{"action":"terminate","time":"2099-01-01T00:00:00Z"}"#,
        );
        assert_eq!(seen("aws", &[TOKEN]).await, None);
        let left = seen("aws", Box::leak(Box::new([TOKEN, gone]))).await.unwrap().unwrap();
        assert!(left > AWS_LEFT, "as long as the notice says: {left:?}");
        let scaled = ("GET /latest/meta-data/autoscaling/target-lifecycle-state", "Terminated");
        assert_eq!(seen("aws", Box::leak(Box::new([TOKEN, scaled]))).await, Some(Some(AWS_LEFT)));
        let path = "GET /computeMetadata/v1/instance/preempted";
        assert_eq!(seen("gcp", Box::leak(Box::new([(path, "FALSE")]))).await, None);
        assert_eq!(seen("gcp", Box::leak(Box::new([(path, "TRUE")]))).await, Some(Some(SHORT_LEFT)));
        let path = "GET /metadata/scheduledevents?api-version=2020-07-01";
        let none = (path, r#"{"DocumentIncarnation":1,"Events":[]}"#);
        let some =
            (path, r#"{"DocumentIncarnation":2,"Events":[{"EventType":"Reboot"},{"EventType":"Preempt"}]}"#);
        assert_eq!(seen("azure", Box::leak(Box::new([none]))).await, None);
        assert_eq!(seen("azure", Box::leak(Box::new([some]))).await, Some(Some(SHORT_LEFT)));
    }

    #[tokio::test]
    async fn a_url_says_it_by_answering_with_success() {
        let (base, _serving) = metadata(&[("GET /gone", "")]).await;
        let client = client();
        let at = |path: &str| Notice::from_str(&format!("url:{base}{path}")).unwrap();
        assert_eq!(look(&at("/gone"), &client, "").await.unwrap(), Some(None));
        assert_eq!(look(&at("/here"), &client, "").await.unwrap(), None);
        for wrong in ["amazon", "file:relative", "url:ftp://x", "url:"] {
            assert!(wrong.parse::<Notice>().is_err(), "{wrong}");
        }
    }
}
