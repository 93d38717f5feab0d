//! What the operator says of how people sign in.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bt_model::role::Role;
use bt_model::secret_value::{SecretBytes, check_mode};
use url::{Host, Url};

use super::page::CALLBACK;
use super::person::{RoleRule, Rules};
use crate::config::{Asking, Auth, people_role};

/// Bounds of how long somebody stays signed in.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(7 * 86_400);
/// Bytes of the file with the client's secret.
const LARGEST: u64 = 10_000;

/// How people sign in with their firm's identity provider.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SignIn {
    /// Let people sign in with this OpenID Connect issuer, by `btctl login` and on the page, e.g.
    /// `https://login.firm.example/realms/quant`. It needs --oidc-client-id, --public-url, and a role for those who come.
    #[arg(long, env = "BTCTL_OIDC_ISSUER", value_name = "URL")]
    pub oidc_issuer: Option<String>,
    /// Id by which the issuer knows this cluster.
    #[arg(long, env = "BTCTL_OIDC_CLIENT_ID", value_name = "ID", requires = "oidc_issuer")]
    pub oidc_client_id: Option<String>,
    /// File with the secret that belongs to the id; none for a public client.
    #[arg(long, env = "BTCTL_OIDC_CLIENT_SECRET_FILE", value_name = "FILE", requires = "oidc_issuer")]
    pub oidc_client_secret_file: Option<PathBuf>,
    /// What the issuer is asked for, separated by spaces.
    #[arg(
        long,
        env = "BTCTL_OIDC_SCOPES",
        value_name = "SCOPES",
        default_value = "openid email profile",
        value_parser = scopes
    )]
    pub oidc_scopes: String,
    /// Claim that names a person, e.g. preferred_username. If not given: email, which the issuer must have verified, or sub
    /// where there is none.
    #[arg(long, env = "BTCTL_OIDC_USER_CLAIM", value_name = "CLAIM", requires = "oidc_issuer")]
    pub oidc_user_claim: Option<String>,
    /// Role of those who have this claim, e.g. groups=quants:submitter; may be repeated, in the variable separated by
    /// semicolons. The highest one counts.
    #[arg(
        long = "oidc-role",
        env = "BTCTL_OIDC_ROLE",
        value_name = "CLAIM=VALUE:ROLE",
        value_delimiter = ';',
        requires = "oidc_issuer"
    )]
    pub oidc_roles: Vec<RoleRule>,
    /// Role of those for whom no --oidc-role holds: viewer, submitter, operator or admin. If not given, they are refused.
    #[arg(
        long,
        env = "BTCTL_OIDC_DEFAULT_ROLE",
        value_name = "ROLE",
        value_parser = people_role,
        requires = "oidc_issuer"
    )]
    pub oidc_default_role: Option<Role>,
    /// How long somebody who signed in stays so, 1m to 7d.
    #[arg(long, env = "BTCTL_OIDC_SESSION", default_value = "12h", value_parser = session, value_name = "TIME")]
    pub oidc_session: Duration,
}

fn session(text: &str) -> Result<Duration, String> {
    let holds = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match (SHORTEST..=LONGEST).contains(&holds) {
        true => Ok(holds),
        false => Err("it must be 1m to 7d, such as 12h".to_owned()),
    }
}

fn scopes(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\' || c == ' ';
    match text.split_whitespace().any(|scope| scope == "openid") && text.chars().all(fits) {
        true => Ok(text.split_whitespace().collect::<Vec<_>>().join(" ")),
        false => {
            Err("scopes are words separated by spaces, openid among them, such as \"openid email groups\""
                .to_owned())
        }
    }
}

impl SignIn {
    /// Refuses what does not go together. It is to be asked before anything is begun.
    pub fn check(&self, asking: &Asking, public_url: Option<&Url>) -> Result<(), String> {
        let Some(issuer) = &self.oidc_issuer else { return Ok(()) };
        address("--oidc-issuer", issuer)?;
        if self.oidc_client_id.as_ref().is_none_or(|id| id.trim().is_empty()) {
            return Err(
                "--oidc-issuer needs --oidc-client-id ID: by which the issuer knows this cluster".to_owned()
            );
        }
        if asking.auth == Auth::None {
            return Err(
                "--oidc-issuer is for a coordinator that asks who calls: add --auth tokens".to_owned()
            );
        }
        if self.oidc_roles.is_empty() && self.oidc_default_role.is_none() {
            return Err(
                "with --oidc-issuer alone nobody could sign in: say who has which role, such as --oidc-role \
                 groups=quants:submitter, or --oidc-default-role viewer for everybody whom the issuer knows"
                    .to_owned(),
            );
        }
        let Some(public) = public_url else {
            return Err(format!(
                "--oidc-issuer needs --public-url, the address of the page that browsers use, such as https://btctl.firm.example: \
                 the issuer sends people back to it, at {CALLBACK}, which is to be registered there"
            ));
        };
        address("--public-url", public.as_str()).map(drop)
    }
}

/// What people's secrets go by: https, or this machine alone.
fn address(flag: &str, text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| {
        format!("{flag} {text:?} is no address ({error}); write https://login.firm.example")
    })?;
    let wrong = if !url.username().is_empty() || url.password().is_some() {
        "it holds a user or a password"
    } else if url.query().is_some() || url.fragment().is_some() {
        "it has a part after ? or #"
    } else if !is_private(&url) {
        "it must begin with https://, as what is said there must not be read on the way (http:// is for this machine alone)"
    } else {
        return Ok(url);
    };
    // A password is not said again.
    Err(format!("{flag}: {wrong}"))
}

/// Nobody on the way can read what is said there.
pub(super) fn is_private(url: &Url) -> bool {
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(Host::Domain(name))) => name == "localhost",
        ("http", Some(Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(Host::Ipv6(address))) => address.is_loopback(),
        _ => false,
    }
}

/// The same, read and checked.
#[derive(Debug)]
pub(super) struct Settings {
    /// As it was written, which is how the issuer's tokens name it.
    pub(super) issuer: String,
    pub(super) host: String,
    pub(super) client_id: String,
    pub(super) secret: Option<SecretBytes>,
    pub(super) scopes: String,
    pub(super) rules: Rules,
    pub(super) session: Duration,
    /// Where the page is, with a slash at its end.
    pub(super) page: Url,
}

impl Settings {
    pub(super) fn read(options: &SignIn, public_url: Option<&Url>) -> anyhow::Result<Option<Self>> {
        let (Some(issuer), Some(client_id), Some(public)) =
            (&options.oidc_issuer, &options.oidc_client_id, public_url)
        else {
            return Ok(None);
        };
        let url = address("--oidc-issuer", issuer).map_err(anyhow::Error::msg)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let secret = options.oidc_client_secret_file.as_deref().map(secret).transpose()?;
        let mut page = public.clone();
        page.set_path(&format!("{}/", public.path().trim_end_matches('/')));
        Ok(Some(Self {
            issuer: issuer.clone(),
            host,
            client_id: client_id.trim().to_owned(),
            secret,
            scopes: options.oidc_scopes.clone(),
            rules: Rules {
                user_claim: options.oidc_user_claim.clone(),
                roles: options.oidc_roles.clone(),
                default_role: options.oidc_default_role,
            },
            session: options.oidc_session,
            page,
        }))
    }
}

fn secret(path: &Path) -> anyhow::Result<SecretBytes> {
    let named = || format!("--oidc-client-secret-file {}", path.display());
    let read = || {
        let about = std::fs::metadata(path)?;
        ensure!(about.is_file(), "it is not a file");
        check_mode(path, about.mode()).map_err(anyhow::Error::msg)?;
        ensure!(about.len() <= LARGEST, "it has {} bytes; it holds one secret", about.len());
        let secret = SecretBytes::of_text(std::fs::read(path)?);
        secret.check().map_err(anyhow::Error::msg)?;
        if std::str::from_utf8(secret.bytes()).is_err() {
            bail!("it is not text");
        }
        Ok(secret)
    };
    read().with_context(named)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        sign_in: SignIn,
        #[command(flatten)]
        asking: Asking,
        #[arg(long)]
        public_url: Option<Url>,
    }

    fn told(flags: &[&str]) -> String {
        match Line::try_parse_from([&["x"], flags].concat()) {
            Ok(line) => line.sign_in.check(&line.asking, line.public_url.as_ref()).err().unwrap_or_default(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_what_would_be_right() {
        let issuer = ["--oidc-issuer", "https://login.firm.example"];
        let id = [&issuer[..], &["--oidc-client-id", "btctl"]].concat();
        let asks = [&id[..], &["--auth", "tokens"]].concat();
        let roles = [&asks[..], &["--oidc-default-role", "viewer"]].concat();
        assert!(told(&["--oidc-client-id", "x"]).contains("--oidc-issuer"));
        assert!(told(&["--oidc-role", "groups=a:viewer"]).contains("--oidc-issuer"));
        assert!(told(&issuer).contains("--oidc-client-id"));
        assert!(told(&id).contains("--auth tokens"));
        assert!(told(&asks).contains("--oidc-role groups=quants:submitter"));
        assert!(told(&roles).contains("--public-url") && told(&roles).contains("/login/oidc/callback"));
        let all = |public: &'static str| told(&[&roles[..], &["--public-url", public]].concat());
        assert_eq!(all("https://btctl.firm.example/below"), "");
        assert_eq!(all("http://127.0.0.1:7600"), "");
        assert!(all("http://btctl.firm.example").contains("must begin with https://"));
        assert!(told(&["--oidc-session", "8d"]).contains("1m to 7d"));
        assert!(told(&["--oidc-scopes", "email"]).contains("openid among them"));
        assert!(
            told(&[&issuer[..], &["--oidc-default-role", "agent"]].concat()).contains("viewer, submitter")
        );
        for (wrong, part) in [
            ("login.firm.example", "is no address"),
            ("http://login.firm.example", "must begin with https://"),
            ("https://ann:hunter2@login.firm.example", "a user or a password"),
            ("https://login.firm.example?a=b", "after ? or #"),
        ] {
            let told = told(&["--oidc-issuer", wrong]);
            assert!(told.contains(part) && !told.contains("hunter2"), "{told}");
        }
    }
}
