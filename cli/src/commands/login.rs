//! `btctl login` and `btctl logout`: signing in with the firm's identity provider, through the coordinator.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bt_documents as documents;
use bt_proto::bearer::{self, Line};
use bt_proto::v1;
use bt_proto::v1::access_client::AccessClient;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::error::Error;
use crate::output::{Cell, say};
use crate::settings::{SettingSource, Settings};

/// By how much more seldom is asked where that is wished.
const SLOWER: Duration = Duration::from_secs(5);

/// Sign in with your firm's identity provider: open the address that is shown in any browser, and enter the code.
///
/// The token that the coordinator gives is kept beside the client's file, for you alone, and is used for this coordinator
/// until it ends or you run `btctl logout`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  btctl login
  btctl --coordinator https://btctl.firm.example:7600 login")]
pub(crate) struct Login {}

/// Sign out: the token of `btctl login` is revoked and removed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Logout {}

impl Login {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let kept = kept(settings)?;
        // Whoever calls now is of no matter, and what is kept may have ended.
        let client = Client::connect(&settings.without_login()).await?;
        let in_clear = settings.coordinators()?;
        let in_clear = bearer::in_clear(&in_clear);
        if !in_clear.is_empty() {
            say(&format!(
                "warning: the token comes without encryption from {}: whoever is on the way can read and use it",
                in_clear.join(", ")
            ));
        }
        let begin = |mut access: AccessClient<Line>| async move {
            Ok(access.begin_sign_in(v1::BeginSignInRequest {}).await?.into_inner())
        };
        let begun = client.line.ask_access(begin).await?;
        say(&format!("to sign in, open {} and enter the code {}", begun.verification_uri, begun.user_code));
        if let Some(complete) = &begun.verification_uri_complete {
            say(&format!("or open {complete} and see that it shows the same code"));
        }
        let reply = wait(&client, &begun).await?;
        let token = reply.token.unwrap_or_default();
        let created = documents::Token::try_from(&reply.created.unwrap_or_default())?;
        keep(&kept, &token)?;
        let until = created
            .expires
            .map_or_else(String::new, |until| format!(" until {}", Cell::Time(until).people()));
        say(&format!("signed in as {} ({}){until}", created.name, created.role));
        let named = &settings.token_file.source;
        if matches!(named, SettingSource::Flag(_) | SettingSource::Variable(_)) {
            say(&format!("warning: {named} names another token, which goes before this one"));
        }
        Ok(())
    }
}

/// Asks until the person has signed in.
async fn wait(client: &Client, begun: &v1::BeginSignInReply) -> Result<v1::PollSignInReply, Error> {
    let ends = Instant::now() + Duration::from_secs(begun.expires_in_seconds);
    let mut interval = Duration::from_secs(begun.interval_seconds.max(1));
    let client = client.quiet();
    loop {
        sleep(interval).await;
        let poll = |mut access: AccessClient<Line>| {
            let request = v1::PollSignInRequest { device_code: begun.device_code.clone() };
            async move { Ok(access.poll_sign_in(request).await?.into_inner()) }
        };
        let reply = client.line.ask_access(poll).await?;
        if reply.token.is_some() {
            return Ok(reply);
        }
        if reply.slow_down {
            interval += SLOWER;
        }
        if Instant::now() >= ends {
            return Err(Error::Refused(
                "the code has expired before it was entered; run btctl login again".to_owned(),
            ));
        }
    }
}

impl Logout {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let kept = kept(settings)?;
        if !kept.exists() {
            say(&format!("nobody is signed in at {}; btctl login signs you in", settings.coordinator.value));
            return Ok(());
        }
        let revoked = revoke(&settings.with_login(&kept)).await;
        match revoked {
            Ok(name) => {
                remove(&kept)?;
                say(&format!("{name} is signed out"));
                Ok(())
            }
            // It holds no more.
            Err(Error::Refused(why)) => {
                remove(&kept)?;
                say(&format!("signed out; {why}"));
                Ok(())
            }
            Err(error) => {
                remove(&kept)?;
                say(
                    "the token is removed here, but could not be revoked: it holds until it ends, or an administrator revokes it",
                );
                Err(error)
            }
        }
    }
}

async fn revoke(settings: &Settings) -> Result<String, Error> {
    let client = Client::connect(settings).await?;
    let out = |mut access: AccessClient<Line>| async move {
        Ok(access.sign_out(v1::SignOutRequest {}).await?.into_inner())
    };
    Ok(client.line.ask_access(out).await?.token.unwrap_or_default().name)
}

fn kept(settings: &Settings) -> Result<PathBuf, Error> {
    // A wrong address is reported first.
    settings.coordinators()?;
    settings.login_file().ok_or_else(|| {
        Error::Usage(
            "there is no home directory to keep a token in; set BTCTL_CONFIG to a file of yours".to_owned(),
        )
    })
}

/// For its user alone, and whole or not at all.
fn keep(path: &Path, token: &str) -> Result<(), Error> {
    let dir = path.parent().unwrap_or(Path::new(""));
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| error.to_string());
    let kept = made.and_then(|()| {
        bt_trust::write_private(path, &format!("{token}\n")).map_err(|error| error.to_string())
    });
    kept.map_err(|why| {
        Error::Failed(format!("you are signed in, but the token can't be kept in {}: {why}", path.display()))
    })
}

fn remove(path: &Path) -> Result<(), Error> {
    fs::remove_file(path)
        .map_err(|error| Error::Failed(format!("{} can't be removed: {error}", path.display())))
}
