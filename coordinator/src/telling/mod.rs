//! The ways by which those are told whom a manifest's `notify` names: webhooks, chats and mails. What is told, and when, is
//! the business of `teller`.

mod mail;
mod message;
mod options;
mod post;
mod reach;
mod sign;

use std::time::Duration;

use anyhow::Context;
use bt_documents::Notification;
use bt_model::manifest::{Channel, Receiver};
use serde_json::json;
use tokio::time::timeout;
use url::Url;

use crate::queue::Due;
use mail::{Mail, Mailer};
pub use options::Telling;
use post::Poster;
pub use reach::AllowedHost;
use reach::Reach;
use sign::Signer;

/// How long one try may take.
const LIMIT: Duration = Duration::from_secs(15);

/// Why a message was not delivered.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) why: String,
    /// Another try is unlikely to help.
    pub(crate) is_lasting: bool,
    /// How long the receiver wants to be left alone.
    pub(crate) pause: Option<Duration>,
}

impl Failed {
    fn later(why: String) -> Self {
        Self { why, is_lasting: false, pause: None }
    }

    fn for_good(why: String) -> Self {
        Self { why, is_lasting: true, pause: None }
    }
}

/// The ways by which this coordinator tells people. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Ways {
    reach: Reach,
    poster: Poster,
    mailer: Option<Mailer>,
    page: Option<Url>,
}

impl Ways {
    pub(crate) fn new(telling: &Telling) -> anyhow::Result<Self> {
        let reach = Reach::new(telling.notify_allow.clone());
        let signer = Signer::read(telling).context("read the secret that messages are signed with")?;
        Ok(Self {
            poster: Poster::new(reach.clone(), signer)?,
            mailer: Mailer::new(telling)?,
            page: telling.public_url.clone(),
            reach,
        })
    }

    /// Why one of a new sweep's receivers can't be told.
    pub(crate) fn check(&self, receivers: &[Receiver]) -> Result<(), String> {
        for (number, receiver) in (1..).zip(receivers) {
            let checked = match receiver.channel() {
                Channel::Webhook(url) | Channel::Slack(url) => self.reach.check_literal(url),
                Channel::Mail(_) if self.mailer.is_none() => {
                    Err("this coordinator sends no mails; its operator has to set --smtp-url and --smtp-from"
                        .to_owned())
                }
                Channel::Mail(_) => Ok(()),
            };
            checked.map_err(|why| format!("address {number} of `notify`, {receiver}: {why}"))?;
        }
        Ok(())
    }

    /// The address of a sweep's page.
    pub(crate) fn page_of(&self, sweep: &str) -> Option<String> {
        let base = self.page.as_ref()?.as_str();
        Some(format!("{}/sweeps/{sweep}", base.trim_end_matches('/')))
    }

    /// Sends a message to its receiver, and waits for the answer.
    pub(crate) async fn send(&self, due: &Due, told: &Notification) -> Result<(), Failed> {
        match timeout(LIMIT, self.send_at_leisure(due, told)).await {
            Ok(sent) => sent,
            Err(_) => Err(Failed::later(format!("it did not answer within {} s", LIMIT.as_secs()))),
        }
    }

    async fn send_at_leisure(&self, due: &Due, told: &Notification) -> Result<(), Failed> {
        let receiver: Receiver = due
            .receiver
            .0
            .parse()
            .map_err(|error: bt_model::manifest::Error| Failed::for_good(error.to_string()))?;
        let unreadable = |error: serde_json::Error| Failed::for_good(error.to_string());
        match receiver.channel() {
            Channel::Webhook(url) => {
                let body = serde_json::to_vec(told).map_err(unreadable)?;
                self.poster.post(url, &told.event_id, body).await
            }
            Channel::Slack(url) => {
                let body = serde_json::to_vec(&json!({"text": message::chat(told)})).map_err(unreadable)?;
                self.poster.post(url, &told.event_id, body).await
            }
            Channel::Mail(to) => {
                let Some(mailer) = &self.mailer else {
                    return Err(Failed::later("this coordinator sends no mails (--smtp-url)".to_owned()));
                };
                let id = format!("{}.{}", told.event_id, due.place);
                let mail = Mail { to, subject: message::subject(told), text: message::mail(told), id };
                mailer.send(mail).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_can_not_be_told_is_refused_with_its_place() {
        let ways = Ways::new(&Telling::default()).unwrap();
        let check = |addresses: &str| ways.check(&bt_model::manifest::parse_receivers(addresses).unwrap());
        assert_eq!(check("https://ci.example/x slack+https://hooks.slack.com/x"), Ok(()));
        let told = check("https://ci.example/x http://169.254.169.254/latest/s3cret").unwrap_err();
        assert!(
            told.contains("address 2 of `notify`, http://169.254.169.254/***: ") && !told.contains("s3cret"),
            "{told}"
        );
        let told = check("mailto:ann@quant.example").unwrap_err();
        assert!(told.contains("--smtp-url"), "{told}");
    }
}
