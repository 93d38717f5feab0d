//! Sends mails by the operator's server.

use anyhow::{Context, bail};
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::Error as SmtpError;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use super::options::Telling;
use super::{Failed, LIMIT};

/// The operator's mail server.
#[derive(Clone)]
pub(super) struct Mailer {
    server: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// A mail to one person.
pub(super) struct Mail<'m> {
    pub(super) to: &'m str,
    pub(super) subject: String,
    pub(super) text: String,
    /// The same each time that it is sent, so that servers and people can tell twins.
    pub(super) id: String,
}

impl Mailer {
    /// None if there is no server.
    pub(super) fn new(telling: &Telling) -> anyhow::Result<Option<Self>> {
        let (url, from) = match (&telling.smtp_url, &telling.smtp_from) {
            (None, None) => return Ok(None),
            (Some(url), Some(from)) => (url, from),
            (Some(_), None) => {
                bail!("--smtp-url is given without --smtp-from, the address that mails come from")
            }
            (None, Some(_)) => bail!("--smtp-from is given without --smtp-url, the server that sends mails"),
        };
        let from =
            from.parse::<Mailbox>().with_context(|| format!("--smtp-from {from:?} is not a mail address"))?;
        bt_store::install_tls();
        let server = AsyncSmtpTransport::<Tokio1Executor>::from_url(url).context(
            "--smtp-url is not the address of a mail server; write smtps://USER:PASSWORD@HOST, or \
             smtp://HOST:587?tls=required",
        )?;
        Ok(Some(Self { server: server.timeout(Some(LIMIT)).build(), from }))
    }

    pub(super) async fn send(&self, mail: Mail<'_>) -> Result<(), Failed> {
        let message = self.message(mail).map_err(|error| Failed::for_good(format!("{error:#}")))?;
        match self.server.send(message).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_permanent() => Err(Failed::for_good(words(&error))),
            Err(error) => Err(Failed::later(words(&error))),
        }
    }

    fn message(&self, mail: Mail<'_>) -> anyhow::Result<Message> {
        let to: Address = mail.to.parse().context("it is not a mail address")?;
        let builder: MessageBuilder = Message::builder();
        let message = builder
            .from(self.from.clone())
            .to(to.into())
            .subject(mail.subject)
            .message_id(Some(format!("<{}@{}>", mail.id, self.from.email.domain())))
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text)
            .context("the mail can't be made")?;
        Ok(message)
    }
}

/// What the server said, or what kept it from it.
fn words(error: &SmtpError) -> String {
    let mut text = format!("the mail server: {error}");
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    let innermost = inner.to_string();
    if !text.contains(&innermost) {
        text += &format!(": {innermost}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailer(from: &str) -> anyhow::Result<Mailer> {
        let telling = Telling {
            smtp_url: Some("smtps://user:s3cret@mail.example".to_owned()),
            smtp_from: Some(from.to_owned()),
            ..Telling::default()
        };
        Ok(Mailer::new(&telling)?.unwrap())
    }

    #[tokio::test]
    async fn no_name_adds_a_header() {
        let mailer = mailer("btctl <btctl@quant.example>").unwrap();
        let mail = Mail {
            to: "ann@quant.example",
            subject: "sweep a\r\nBcc: eve@evil.example\r\n\r\nhello é".to_owned(),
            text: "line\r\n.\r\nRCPT TO:<eve@evil.example>\r\n".to_owned(),
            id: "1.1".to_owned(),
        };
        let text = String::from_utf8(mailer.message(mail).unwrap().formatted()).unwrap();
        let (headers, _) = text.split_once("\r\n\r\n").unwrap();
        let names: Vec<_> = headers
            .split("\r\n")
            .filter(|line| !line.starts_with([' ', '\t']))
            .map(|line| line.split(':').next().unwrap())
            .collect();
        let expected =
            ["From", "To", "Subject", "Message-ID", "Content-Type", "Content-Transfer-Encoding", "Date"];
        assert!(names.iter().all(|name| expected.contains(name)), "{headers}");
        assert!(headers.contains("Message-ID: <1.1@quant.example>"), "{headers}");
        for to in ["a@b\r\nBcc: c@d", "a@b, c@d", "a b@c", "a@b>\r\nRCPT TO:<c@d"] {
            let mail = Mail { to, subject: String::new(), text: String::new(), id: "1".to_owned() };
            assert!(mailer.message(mail).is_err(), "{to:?}");
        }
    }

    #[tokio::test]
    async fn settings_that_are_wrong_say_so_without_the_password() {
        assert!(mailer("nobody").err().unwrap().to_string().contains("--smtp-from"));
        for (url, from, words) in [
            (Some("smtps://u:s3cret@mail.example"), None, "--smtp-from"),
            (None, Some("a@b.example"), "--smtp-url"),
            (Some("http://u:s3cret@mail.example"), Some("a@b.example"), "smtps://USER:PASSWORD@HOST"),
            (Some("mail.example:25"), Some("a@b.example"), "smtps://USER:PASSWORD@HOST"),
        ] {
            let telling = Telling {
                smtp_url: url.map(str::to_owned),
                smtp_from: from.map(str::to_owned),
                ..Telling::default()
            };
            let told = format!("{:#}", Mailer::new(&telling).err().unwrap());
            assert!(told.contains(words) && !told.contains("s3cret"), "{told}");
        }
        assert!(Mailer::new(&Telling::default()).unwrap().is_none());
    }
}
