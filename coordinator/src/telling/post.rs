//! Posts messages to webhooks and chats. No redirect is followed, no proxy is used, and the address that a name stands for is
//! looked at when the connection is made (`reach`).

use std::error::Error as _;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, Response, StatusCode, redirect};
use url::Url;

use super::reach::Reach;
use super::sign::Signer;
use super::{Failed, LIMIT};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes of a refusal that are read, and characters of it that are shown.
const READ: usize = 4 << 10;
const SHOWN: usize = 120;
/// The longest time that a receiver may ask to be left alone for.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);

/// Posts to public addresses, and to those that the operator allows.
#[derive(Clone)]
pub(super) struct Poster {
    reach: Reach,
    /// Connects to what [`Reach`] lets through.
    checked: Client,
    /// Connects to anything: for the hosts that the operator names.
    allowed: Client,
    signer: Option<Signer>,
}

impl Poster {
    pub(super) fn new(reach: Reach, signer: Option<Signer>) -> anyhow::Result<Self> {
        bt_store::install_tls();
        let built = |builder: ClientBuilder| builder.build().context("make an HTTP client");
        Ok(Self {
            checked: built(builder().dns_resolver(reach.clone()))?,
            allowed: built(builder())?,
            reach,
            signer,
        })
    }

    /// Posts a JSON document.
    pub(super) async fn post(&self, url: &Url, event_id: &str, body: Vec<u8>) -> Result<(), Failed> {
        // A host that is written as its address is not resolved.
        self.reach.check_literal(url).map_err(Failed::for_good)?;
        let client = if self.reach.is_allowed_host(url) { &self.allowed } else { &self.checked };
        let timestamp = Timestamp::now().as_second().to_string();
        let mut request = client
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("Btctl-Event-Id", event_id)
            .header("Btctl-Timestamp", &timestamp);
        if let Some(signer) = &self.signer {
            request = request.header("Btctl-Signature", signer.sign(&timestamp, &body));
        }
        match request.body(body).send().await {
            Ok(response) => judged(response).await,
            Err(error) => Err(Failed::later(words(error))),
        }
    }
}

fn builder() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("btctl/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .no_proxy()
        // Each connection is looked at.
        .pool_max_idle_per_host(0)
        .connect_timeout(CONNECT)
        .timeout(LIMIT)
}

async fn judged(response: Response) -> Result<(), Failed> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let pause = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let pause = pause.and_then(|text| pause_of(text, Timestamp::now()));
    let mut why = format!("it answered {status}");
    if status.is_redirection() {
        why += ", and redirects are not followed; name the address that it redirects to";
    }
    let said = beginning(response).await;
    if !said.is_empty() {
        why += &format!(": {said}");
    }
    let may_pass = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    let is_lasting = (status.is_client_error() && !may_pass.contains(&status)) || status.is_redirection();
    Err(if is_lasting { Failed::for_good(why) } else { Failed { pause, ..Failed::later(why) } })
}

/// The beginning of what it says, on one line.
async fn beginning(mut response: Response) -> String {
    let mut read = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        read.extend_from_slice(&piece[..piece.len().min(READ - read.len())]);
        if read.len() >= READ {
            break;
        }
    }
    let text = String::from_utf8_lossy(&read);
    let words: Vec<_> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    words.join(" ").chars().take(SHOWN).collect()
}

/// `120`, or a date.
fn pause_of(text: &str, now: Timestamp) -> Option<Duration> {
    let pause = match text.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
            date.duration_since(now).try_into().unwrap_or_default()
        }
    };
    Some(pause.min(LONGEST_PAUSE))
}

/// What went wrong, without the address, which may hold a secret.
fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    if error.is_timeout() {
        return format!("it did not answer within {} s", LIMIT.as_secs());
    }
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match error.source() {
        Some(_) => innermost.to_string(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_says_when_to_come_again() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let seconds = |text: &str| pause_of(text, now).map(|pause| pause.as_secs());
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds("Fri, 02 Jan 2026 03:05:05 GMT"), Some(60));
        assert_eq!(seconds("Fri, 02 Jan 2026 03:00:00 GMT"), Some(0));
        assert_eq!(seconds("99999999999"), Some(LONGEST_PAUSE.as_secs()));
        assert_eq!(seconds("soon"), None);
        assert_eq!(seconds("-5"), None);
    }
}
