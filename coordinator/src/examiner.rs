//! What `btctl doctor` asks a running coordinator: whether anything is wrong with Postgres, the store and its certificate.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bt_documents::{Finding, Level};
use bt_proto::v1;
use bt_store::Location;
use bt_trust::{AUTHORITY_KEY, ServerTls};

use crate::check;
use crate::config::Options;

/// How long Postgres may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks at what a coordinator depends on.
pub(crate) struct Examiner {
    database_url: String,
    may_migrate: bool,
    store: Location,
    tls: Option<ServerTls>,
    /// Where the certificate is that is renewed by itself if the authority's key is there.
    tls_dir: Option<PathBuf>,
}

impl Examiner {
    pub(crate) fn new(options: &Options, tls: Option<ServerTls>) -> Self {
        Self {
            database_url: options.database_url.clone(),
            may_migrate: !options.no_migrate,
            store: options.store.clone(),
            tls,
            tls_dir: options.tls.tls_dir.clone(),
        }
    }

    pub(crate) async fn examine(&self) -> v1::ExamineReply {
        let mut found = Vec::new();
        let (mut now, mut known) = (None, None);
        match check::inspect(&self.database_url, PATIENCE).await {
            Ok(inspected) => {
                found.extend(check::postgres(&inspected, self.may_migrate));
                found.push(Finding::ok(
                    "coordinators",
                    format!("{} were there within the last minute", inspected.live_coordinators),
                ));
                now = by_postgres(inspected.facts.ahead);
                known = inspected.store;
            }
            Err(finding) => found.push(finding),
        }
        found.extend(check::store(&self.store, known.as_ref()).await);
        found.push(match &self.tls {
            None => Finding::ok("certificate", "none: lines are not encrypted"),
            Some(tls) => self.certificate(tls),
        });
        v1::ExamineReply {
            findings: found.into_iter().map(on_the_wire).collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now,
        }
    }

    fn certificate(&self, tls: &ServerTls) -> Finding {
        let renews = self.tls_dir.as_ref().is_some_and(|dir| dir.join(AUTHORITY_KEY).exists());
        check::valid_certificate(tls, self.tls_dir.as_deref(), renews)
    }
}

/// Now, by a clock that is so many seconds ahead of this machine's.
fn by_postgres(ahead: f64) -> Option<prost_types::Timestamp> {
    let own = SystemTime::now();
    let by = Duration::try_from_secs_f64(ahead.abs()).ok()?;
    let now = if ahead < 0.0 { own.checked_sub(by) } else { own.checked_add(by) };
    now.map(Into::into)
}

fn on_the_wire(finding: Finding) -> v1::Finding {
    let level = match finding.level {
        Level::Ok => v1::FindingLevel::Ok,
        Level::Warning => v1::FindingLevel::Warning,
        Level::Error => v1::FindingLevel::Error,
    };
    v1::Finding { about: finding.about, level: level.into(), found: finding.found, remedy: finding.remedy }
}
