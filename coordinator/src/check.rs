//! `btctl coordinator --check-config`: everything that a start would need, looked at without starting. Nothing is changed, but
//! for a file that is written to the store and removed again, as a start does it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use bt_documents::{Finding, Level};
use bt_store::Location;
use bt_trust::ServerTls;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::access::Root;
use crate::config::{Options, TlsOptions};
use crate::queue::{Inspected, KnownStore, Queue, newest_migration};
use crate::secrets::Keyring;
use crate::telling::Ways;
use crate::{certificate, storage};

const DAY: u64 = 86_400;
/// Seconds by which two clocks may differ.
const SKEW: f64 = 2.0;
/// Free bytes of a store below which it is warned of.
const ROOM: u64 = 1 << 30;
/// How long Postgres, and the store, may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks at all settings, files and servers that a coordinator with these options would need.
pub async fn check_config(options: &Options) -> Vec<Finding> {
    let mut found = Vec::new();
    found.push(match options.check() {
        Ok(()) => Finding::ok("settings", "they can be read, and none contradicts another"),
        Err(why) => Finding::error("settings", why, None),
    });
    found.push(listening(options).await);
    found.extend(certificate(&options.tls, options));
    found.extend(token(options.asking.admin_token_file.as_deref()));
    found.extend(audit(options));
    if let Err(error) = Ways::new(&options.telling) {
        found.push(Finding::error("notifications", format!("{error:#}"), None));
    }
    let (mut known, mut secret_keys) = (None, Vec::new());
    match inspect(&options.database_url, PATIENCE).await {
        Ok(inspected) => {
            let may_migrate = !options.no_migrate;
            found.extend(postgres(&inspected, may_migrate));
            (known, secret_keys) = (inspected.store, inspected.secret_keys);
        }
        Err(finding) => found.push(finding),
    }
    found.extend(secrets_key(options, &secret_keys).await);
    let known = known.filter(|_| !options.adopt_store);
    found.extend(store(&options.store, known.as_ref()).await);
    found
}

/// Whether the address is free.
async fn listening(options: &Options) -> Finding {
    let listen = options.listen;
    match TcpListener::bind(listen).await {
        Ok(_) => Finding::ok("listen", format!("{listen} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Finding::warning(
            "listen",
            format!("{listen} is in use"),
            "this is right if the coordinator runs already; otherwise stop what uses it, or give another --listen",
        ),
        Err(error) => Finding::error(
            "listen",
            format!("{listen} can't be listened on: {error}"),
            Some("give an address of this machine, or 0.0.0.0 for all, and a port above 1023".to_owned()),
        ),
    }
}

fn certificate(tls: &TlsOptions, options: &Options) -> Vec<Finding> {
    let about = "certificate";
    let certificate = match certificate::open(tls) {
        Ok(None) => return vec![Finding::ok(about, "none: lines are not encrypted")],
        Ok(Some(certificate)) => certificate.tls,
        Err(error) => return vec![Finding::error(about, format!("{error:#}"), None)],
    };
    let names = certificate.names();
    let mut found = vec![valid_certificate(&certificate, tls.tls_dir.as_deref(), false)];
    let address = options.listen.ip();
    let is_named = address.is_unspecified() || names.iter().any(|name| *name == address.to_string());
    if !is_named {
        found.push(Finding::warning(
            about,
            format!("it is not for the address {address}"),
            format!(
                "if clients use the address and not a name, name it: btctl coordinator init --tls-dir DIR --name {address}"
            ),
        ));
    }
    found
}

/// Whether a certificate holds, and for how long. `renews`: the coordinator renews it by itself.
pub(crate) fn valid_certificate(tls: &ServerTls, dir: Option<&Path>, renews: bool) -> Finding {
    let about = "certificate";
    let renew = match dir {
        Some(dir) => format!("run `btctl coordinator init --tls-dir {}`", dir.display()),
        None => "renew it and put it in the same place; it is read again by itself".to_owned(),
    };
    let days = tls.valid_for().as_secs() / DAY;
    let told = format!("valid for {days} days, for {}", tls.names().join(", "));
    if tls.valid_for().is_zero() {
        Finding::error(about, "it has run out, or does not hold yet", Some(renew))
    } else if tls.valid_for() < certificate::WARN && !renews {
        Finding::warning(about, told, renew)
    } else {
        Finding::ok(about, told)
    }
}

fn token(path: Option<&Path>) -> Option<Finding> {
    let path = path?;
    let about = "admin token";
    Some(match path.try_exists() {
        Ok(true) => match Root::read(path) {
            Ok(_) => Finding::ok(about, format!("{} holds one, for its owner alone", path.display())),
            Err(error) => Finding::error(about, format!("{}: {error:#}", path.display()), None),
        },
        Ok(false) => to_be_made(about, path),
        Err(error) => Finding::error(about, format!("{} can't be read: {error}", path.display()), None),
    })
}

/// A file that a start makes: its directory must be there, and allow it.
fn to_be_made(about: &str, path: &Path) -> Finding {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_dir = fs::metadata(parent).is_ok_and(|dir| dir.is_dir());
    let may_write = rustix::fs::access(parent, rustix::fs::Access::WRITE_OK).is_ok();
    match (is_dir, may_write) {
        (true, true) => Finding::ok(about, format!("{} will be made", path.display())),
        (true, false) => Finding::error(
            about,
            format!("{} is not there, and can't be made", path.display()),
            Some(format!("give this user the right to write to {}", parent.display())),
        ),
        (false, _) => Finding::error(
            about,
            format!("{} is no directory", parent.display()),
            Some(format!("make it: mkdir -p {}", parent.display())),
        ),
    }
}

fn audit(options: &Options) -> Vec<Finding> {
    let about = "audit log";
    let mut found = Vec::new();
    if let Some(path) = &options.asking.audit_file {
        found.push(match path.exists() {
            false => to_be_made(about, path),
            true if rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok() => {
                Finding::ok(about, format!("{} can be written", path.display()))
            }
            true => Finding::error(
                about,
                format!("{} can't be written", path.display()),
                Some("give this user the right to write it".to_owned()),
            ),
        });
    }
    if let Some(path) = options.asking.audit_syslog.as_deref().filter(|path| !path.exists()) {
        let remedy = "start the system's log, or give its socket, usually /dev/log".to_owned();
        found.push(Finding::error(about, format!("{} is not there", path.display()), Some(remedy)));
    }
    found
}

/// Whether the key of secrets can be read, and is the one that they are encrypted by.
async fn secrets_key(options: &Options, used: &[(String, u32)]) -> Vec<Finding> {
    let about = "secrets' key";
    let keys = match Keyring::new(&options.secrets) {
        Ok(keys) => keys,
        Err(error) => return vec![Finding::error(about, format!("{error:#}"), None)],
    };
    let mut found = vec![match keys.check().await {
        Ok(()) if options.secrets.is_given() => Finding::ok(about, "it can be read"),
        Ok(()) => Finding::ok(about, "none: jobs can't have secrets"),
        Err(error) => Finding::error(about, error.to_string(), None),
    }];
    for (id, secrets) in used {
        if let Err(error) = keys.of_id(id).await {
            let what =
                format!("{secrets} secrets can't be read, and jobs that name them would wait: {error}");
            found.push(Finding::warning(about, what, format!("give the file with the key {id}")));
        }
    }
    found
}

/// Looks at a Postgres server, or says why that can't be done.
pub(crate) async fn inspect(url: &str, patience: Duration) -> Result<Inspected, Finding> {
    let about = "postgres";
    match timeout(patience, Queue::inspect(url)).await {
        Ok(Ok(inspected)) => Ok(inspected),
        Ok(Err(error)) => Err(Finding::error(about, error.to_string(), None)),
        Err(_) => Err(Finding::error(
            about,
            format!("it does not answer within {} s", patience.as_secs()),
            Some("look whether it runs".to_owned()),
        )),
    }
}

/// What was found of a Postgres server.
pub(crate) fn postgres(inspected: &Inspected, may_migrate: bool) -> Vec<Finding> {
    let about = "postgres";
    let Inspected { facts, change, not_owned, not_writable, live_coordinators, .. } = inspected;
    let (role, database) = (&facts.role, &facts.database);
    let mut found = vec![Finding::ok(
        about,
        format!("version {}, database {database} of {} MiB", facts.version, facts.bytes >> 20),
    )];
    let mut warn = |what: String, remedy: String| found.push(Finding::warning(about, what, remedy));
    if !facts.fsync || !facts.full_page_writes {
        let name = if facts.fsync { "full_page_writes" } else { "fsync" };
        warn(
            format!("{name} is off: a crash of the machine can destroy the queue"),
            format!("set {name} = on in postgresql.conf, and reload it"),
        );
    }
    if !facts.autovacuum {
        warn(
            "autovacuum is off: tables and indexes grow without bound".to_owned(),
            "set autovacuum = on in postgresql.conf, and reload it".to_owned(),
        );
    }
    if facts.ahead.abs() > SKEW {
        let side = if facts.ahead > 0.0 { "ahead of" } else { "behind" };
        warn(
            format!("its clock is {:.0} s {side} this machine's", facts.ahead.abs()),
            "let both machines keep time by NTP (timedatectl set-ntp true)".to_owned(),
        );
    }
    let free = facts.most_sessions.saturating_sub(facts.sessions);
    if free < facts.needed {
        let beside = match live_coordinators {
            0 => "",
            _ => ", some of them perhaps this coordinator's own",
        };
        warn(
            format!(
                "{free} of {} sessions are free{beside}; a coordinator opens up to {}",
                facts.most_sessions, facts.needed
            ),
            format!(
                "raise max_connections to {} for each coordinator, or the limit of the role or the database",
                facts.needed
            ),
        );
    }
    if facts.synchronous_commit == "off" {
        found.push(Finding::ok(
            about,
            "synchronous_commit is off; coordinators turn it on for their sessions",
        ));
    }
    if *not_writable > 0 {
        let remedy = format!(
            "as their owner: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO \"{role}\""
        );
        found.push(Finding::error(
            "rights",
            format!("role {role} may not read and write {not_writable} of the queue's tables"),
            Some(remedy),
        ));
    }
    found.push(schema(inspected, may_migrate));
    let must_own = may_migrate && !change.steps.is_empty();
    if must_own && change.from.is_none() && !facts.may_create {
        found.push(Finding::error(
            "rights",
            format!("role {role} may not make tables in database {database}"),
            Some(format!("as its owner: GRANT CREATE ON SCHEMA public TO \"{role}\"; GRANT CREATE ON DATABASE \"{database}\" TO \"{role}\"")),
        ));
    } else if *not_owned > 0 {
        let what =
            format!("role {role} does not own {not_owned} of the queue's tables, and can't migrate them");
        let remedy = "run `btctl migrate` as their owner before a new version starts".to_owned();
        found.push(match must_own {
            true => Finding::error("rights", what, Some(remedy)),
            false => Finding::warning("rights", what, remedy),
        });
    }
    found
}

fn schema(inspected: &Inspected, may_migrate: bool) -> Finding {
    let change = &inspected.change;
    let newest = newest_migration();
    let from = change.from.map_or_else(|| "empty".to_owned(), |from| format!("at migration {from}"));
    match (change.steps.len(), may_migrate) {
        (0, _) => Finding::ok("schema", format!("up to date, at migration {newest}")),
        (more, true) => {
            Finding::ok("schema", format!("{from}; a start applies {more} migrations, up to {newest}"))
        }
        (more, false) => Finding::error(
            "schema",
            format!("{from}, and {more} migrations are missing, which --no-migrate forbids to apply"),
            Some("run `btctl migrate` with the same database URL".to_owned()),
        ),
    }
}

/// Whether results can be published. `known`: what the queue knows of its store.
pub(crate) async fn store(location: &Location, known: Option<&KnownStore>) -> Vec<Finding> {
    let about = "store";
    if let (Location::Directory(dir), None) = (location, known)
        && matches!(dir.try_exists(), Ok(false))
    {
        return vec![to_be_made(about, dir)];
    }
    let looked = timeout(PATIENCE, storage::look(location, known)).await;
    let mut found = vec![match looked {
        Ok(Ok(true)) => Finding::ok(about, format!("{location} can be written to")),
        Ok(Ok(false)) => Finding::ok(about, format!("{location} can be written to; it is a new store")),
        Ok(Err(error)) => Finding::error(about, error.to_string(), None),
        Err(_) => Finding::error(
            about,
            format!("{location} does not answer within {} s", PATIENCE.as_secs()),
            Some("look whether it is mounted and can be reached".to_owned()),
        ),
    }];
    let is_good = found.iter().all(|finding| finding.level == Level::Ok);
    if let (true, Location::Directory(dir)) = (is_good, location)
        && let Ok(disk) = rustix::fs::statvfs(dir)
    {
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let told = format!("{:.1} GiB are free", free as f64 / (1_u64 << 30) as f64);
        found.push(match free < ROOM {
            true => Finding::warning(about, told, "make room: `btctl rm` removes sweeps with their results"),
            false => Finding::ok(about, told),
        });
    }
    found
}
