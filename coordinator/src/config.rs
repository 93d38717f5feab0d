//! The coordinator's settings.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use axum::http::HeaderName;
use bt_model::encoding::Encoding;
use bt_model::image_policy::{AllowedImages, ImagePattern, ImagePolicy};
use bt_model::role::Role;
use bt_store::Location;
use ipnet::IpNet;

use crate::access::KnownToken;
use crate::oidc::SignIn;
use crate::scheduling::Preemption;
use crate::secrets::SecretKeys;
use crate::telling::Telling;

/// All that a coordinator must be told.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Postgres to keep the queue in, e.g. postgres://user@host/btctl.
    #[arg(long, env = "BTCTL_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: String,
    /// Refuse to start on a database whose schema is older than this version, instead of bringing it up to date: `btctl
    /// migrate` does that.
    #[arg(long, env = "BTCTL_NO_MIGRATE")]
    pub no_migrate: bool,
    /// Address that clients and agents connect to.
    #[arg(long, env = "BTCTL_LISTEN", default_value = "127.0.0.1:7600", value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// Where results are published: a directory, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix. A
    /// bucket's credentials come from the environment, e.g. AWS_ACCESS_KEY_ID.
    #[arg(long, env = "BTCTL_STORE", value_name = "DIR|URL")]
    pub store: Location,
    /// Use this store from now on, even if the queue's results are in another store, the store belongs to another
    /// queue, or one of them was restored from a backup. Give it once only.
    #[arg(long)]
    pub adopt_store: bool,
    /// How outputs are sent and stored: uncompressed (none), or compressed (zstd).
    #[arg(long, env = "BTCTL_COMPRESS", default_value = "none", value_name = "none|zstd")]
    pub compress: Encoding,
    /// How long a lease holds after its last renewal.
    #[arg(long, env = "BTCTL_LEASE", default_value = "60s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub lease: Duration,
    /// How often agents renew their leases; at most a third of the lease.
    #[arg(long, env = "BTCTL_HEARTBEAT", default_value = "15s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub heartbeat: Duration,
    /// After what time what an owner had running counts half as much for its fair share, e.g. 1h: who had much lately comes
    /// after who had little. Only what runs now counts if not given.
    #[arg(long, env = "BTCTL_FAIR_SHARE_HALF_LIFE", value_parser = some_time, value_name = "TIME")]
    pub fair_share_half_life: Option<Duration>,
    #[command(flatten)]
    pub tls: TlsOptions,
    #[command(flatten)]
    pub asking: Asking,
    #[command(flatten)]
    pub sign_in: SignIn,
    #[command(flatten)]
    pub secrets: SecretKeys,
    #[command(flatten)]
    pub keeping: Keeping,
    #[command(flatten)]
    pub telling: Telling,
    #[command(flatten)]
    pub images: ImageRules,
    /// Images that may run, by registry and repository, e.g. registry.firm.example/quant/*, or by id, sha256:*; may be
    /// repeated, in the variable separated by commas. All if not given.
    #[arg(long = "allow-image", env = "BTCTL_ALLOW_IMAGE", value_delimiter = ',', value_name = "PATTERN")]
    pub allow_images: Vec<ImagePattern>,
    /// Whose running jobs a sweep with `preempt: true` may end to make room for its own, where they have a lower priority: those of
    /// its own owner (own), of all owners (all), or nobody's (off). Say the same to all coordinators of a queue.
    #[arg(long, env = "BTCTL_PREEMPTION", value_enum, default_value = "own", value_name = "own|all|off")]
    pub preemption: Preemption,
}

impl Options {
    /// Refuses settings that contradict each other.
    pub fn check(&self) -> Result<(), String> {
        if self.heartbeat < Duration::from_millis(100) || self.heartbeat * 3 > self.lease {
            return Err(format!(
                "the heartbeat ({:?}) must be at least 100ms and at most a third of the lease ({:?})",
                self.heartbeat, self.lease
            ));
        }
        self.asking.check(self.listen, &self.tls)?;
        self.sign_in.check(&self.asking, self.telling.public_url.as_ref())
    }

    pub(crate) fn image_policy(&self) -> ImagePolicy {
        ImagePolicy {
            require_digest: self.images.require_digest,
            refuse_latest: self.images.refuse_latest,
            allowed: AllowedImages::new(self.allow_images.clone()),
        }
    }
}

/// How sweeps must name their images.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct ImageRules {
    /// Refuse sweeps whose image is not named by its digest (NAME@sha256:...) or its id.
    #[arg(long, env = "BTCTL_REQUIRE_DIGEST")]
    pub require_digest: bool,
    /// Refuse sweeps whose image has the tag latest, or no tag, which means the same.
    #[arg(long, env = "BTCTL_REFUSE_LATEST")]
    pub refuse_latest: bool,
}

/// Bounds of how long an agent's certificate is valid.
const SHORTEST_CERTIFICATE: Duration = Duration::from_secs(10);
const LONGEST_CERTIFICATE: Duration = Duration::from_secs(90 * 86_400);

/// How the coordinator shows who it is, and how agents do.
#[derive(Clone, Debug, clap::Args)]
pub struct TlsOptions {
    /// Speak TLS alone, with the certificate that `btctl coordinator init` made in this directory.
    #[arg(long, env = "BTCTL_TLS_DIR", value_name = "DIR")]
    pub tls_dir: Option<PathBuf>,
    /// Certificate to show instead, with its chain, as PEM. It is read again when the file changes.
    #[arg(
        long,
        env = "BTCTL_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key",
        conflicts_with = "tls_dir"
    )]
    pub tls_cert: Option<PathBuf>,
    /// Key of that certificate, as PEM, which others must not be able to read.
    #[arg(long, env = "BTCTL_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// How long the certificates of agents that join are valid, 10s to 90d. Agents renew them after two thirds of it; one that
    /// was away for longer joins again with a token.
    #[arg(long, env = "BTCTL_AGENT_CERT_TTL", default_value = "7d", value_parser = certificate_ttl, value_name = "TIME")]
    pub agent_cert_ttl: Duration,
}

fn certificate_ttl(text: &str) -> Result<Duration, String> {
    let holds = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match (SHORTEST_CERTIFICATE..=LONGEST_CERTIFICATE).contains(&holds) {
        true => Ok(holds),
        false => Err("it must be 10s to 90d, such as 7d".to_owned()),
    }
}

impl Default for TlsOptions {
    /// No certificate, and none for agents.
    fn default() -> Self {
        Self { tls_dir: None, tls_cert: None, tls_key: None, agent_cert_ttl: Duration::from_secs(7 * 86_400) }
    }
}

impl TlsOptions {
    pub fn is_given(&self) -> bool {
        self.tls_dir.is_some() || self.tls_cert.is_some()
    }
}

/// Whether callers are asked who they are.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Asking {
    /// Whether callers need a token (tokens); all but those that the coordinator's own user runs on this machine (local); or
    /// nobody does, and all may do everything (none). Without tokens, or without TLS, only on addresses that this machine
    /// alone reaches.
    #[arg(long, env = "BTCTL_AUTH", value_enum, default_value = "none", value_name = "tokens|local|none")]
    pub auth: Auth,
    /// Listen without tokens or TLS on an address that other machines reach: whoever reaches it may do everything, or read
    /// all that is said there.
    #[arg(long, env = "BTCTL_INSECURE")]
    pub insecure: bool,
    /// File with the token of the first administrator, `root` (with --auth local the coordinator's user); made with a new token if it is not there.
    #[arg(long, env = "BTCTL_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// File with a token that lets NAME in with a role, e.g. pool:agent=/etc/btctl/pool.token; made with a new token if it
    /// is not there. May be repeated, in the variable separated by commas. A token that was revoked stays so.
    #[arg(
        long = "known-token",
        env = "BTCTL_KNOWN_TOKEN",
        value_delimiter = ',',
        value_name = "NAME:ROLE=FILE"
    )]
    pub known_tokens: Vec<KnownToken>,
    /// File to which the audit log is appended too, as JSON lines.
    #[arg(long, env = "BTCTL_AUDIT_FILE", value_name = "FILE")]
    pub audit_file: Option<PathBuf>,
    /// Socket of the system's log to which the audit log is sent too, as JSON, e.g. /dev/log.
    #[arg(long, env = "BTCTL_AUDIT_SYSLOG", value_name = "SOCKET")]
    pub audit_syslog: Option<PathBuf>,
    /// Header in which a reverse proxy says which user it calls for, e.g. X-Forwarded-User. The proxy must let nobody else set
    /// it.
    #[arg(long, env = "BTCTL_PROXY_USER_HEADER", value_name = "HEADER", requires = "proxy_from")]
    pub proxy_user_header: Option<HeaderName>,
    /// Address or network of that proxy, e.g. 10.0.0.7 or 10.0.1.0/24; several, separated by commas.
    #[arg(
        long,
        env = "BTCTL_PROXY_FROM",
        value_name = "ADDR,...",
        value_delimiter = ',',
        value_parser = network,
        requires = "proxy_user_header"
    )]
    pub proxy_from: Vec<IpNet>,
    /// Role of the users that the proxy names: viewer, submitter, operator or admin; viewer if not given.
    #[arg(long, env = "BTCTL_PROXY_ROLE", value_name = "ROLE", requires = "proxy_user_header", value_parser = people_role)]
    pub proxy_role: Option<Role>,
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    address
        .or_else(|_| text.parse())
        .map_err(|_| format!("{text:?} is no address or network; write 10.0.0.7 or 10.0.1.0/24"))
}

/// A role that people have.
pub(crate) fn people_role(text: &str) -> Result<Role, String> {
    match text.parse::<Role>() {
        Ok(Role::Agent) => {
            Err("agents come with tokens; write viewer, submitter, operator or admin".to_owned())
        }
        Ok(role) => Ok(role),
        Err(_) => Err(format!("{text:?} is no role of people; write viewer, submitter, operator or admin")),
    }
}

/// How callers are asked who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Auth {
    Tokens,
    /// What the user that the coordinator runs as calls from this machine needs no token; all else does.
    Local,
    #[default]
    None,
}

impl Asking {
    /// Refuses to let other machines in without asking them who they are, and to talk to them in clear.
    pub fn check(&self, listen: SocketAddr, tls: &TlsOptions) -> Result<(), String> {
        if self.proxy_user_header.is_some() && self.auth == Auth::None {
            return Err(
                "--proxy-user-header is for a coordinator that asks who calls: add --auth tokens".to_owned()
            );
        }
        if self.insecure || !self.is_insecure(listen, tls) {
            return Ok(());
        }
        let mut lacks = String::new();
        if self.auth == Auth::None {
            lacks.push_str(
                " Whoever reaches it could run containers on all agents: ask callers for tokens (btctl coordinator --auth tokens \
                 --admin-token-file FILE).",
            );
        }
        if !tls.is_given() {
            lacks.push_str(
                " What is said there, tokens too, could be read on the way: make a certificate (btctl coordinator init \
                 --tls-dir DIR) and give --tls-dir DIR.",
            );
        }
        Err(format!(
            "--listen {listen}: other machines reach this address.{lacks} Or say --insecure, if only trusted machines reach it"
        ))
    }

    /// True where other machines reach an address whose callers nobody asks who they are, or could read what is said.
    pub fn is_insecure(&self, listen: SocketAddr, tls: &TlsOptions) -> bool {
        !listen.ip().is_loopback() && (self.auth == Auth::None || !tls.is_given())
    }
}

/// When the store is cleaned, and of what.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Keeping {
    /// How long outputs of failed and lost attempts are kept.
    #[arg(long, env = "BTCTL_KEEP_UNPUBLISHED", default_value = "7d", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub keep_unpublished: Duration,
    /// How often the store is cleaned of such outputs, and of sweeps that were kept as long as their manifest says.
    #[arg(long, env = "BTCTL_GC_EVERY", default_value = "1h", value_parser = some_time, value_name = "TIME")]
    pub gc_every: Duration,
}

fn some_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("it must be greater than zero, such as 1h".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}
