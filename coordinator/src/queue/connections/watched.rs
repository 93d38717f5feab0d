//! How long statements take, by the part of the queue whose they are: by the folder of queries/ that holds their text.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, OnceLock};

use bt_measures::{POSTGRES_FAILED, POSTGRES_STATEMENT};
use sqlx::postgres::{PgArguments, PgStatement};
use sqlx::{Execute, Postgres, SqlStr};
use tokio::time::Instant;

// `STATEMENTS`: each statement's folder and text.
include!(concat!(env!("OUT_DIR"), "/statements.rs"));

/// What belongs to no folder: the begin and the end of transactions, and migrations.
const OTHER: &str = "transaction";

/// A statement; when it is sent, its group becomes known to its clock.
pub(super) struct Watched<E> {
    query: E,
    group: Arc<OnceLock<&'static str>>,
}

/// How long a statement takes.
pub(super) struct Clock {
    began: Instant,
    group: Arc<OnceLock<&'static str>>,
}

pub(super) fn watched<E>(query: E) -> (Watched<E>, Clock) {
    let group = Arc::new(OnceLock::new());
    (Watched { query, group: group.clone() }, Clock { began: Instant::now(), group })
}

impl Clock {
    /// The statement has ended.
    pub(super) fn stop(&self, is_ok: bool) {
        let group = self.group.get().copied().unwrap_or(OTHER);
        POSTGRES_STATEMENT.record([group], self.began.elapsed());
        if !is_ok {
            POSTGRES_FAILED.add([group], 1);
        }
    }
}

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Watched<E> {
    fn sql(self) -> SqlStr {
        static GROUPS: LazyLock<HashMap<&str, &str>> =
            LazyLock::new(|| STATEMENTS.iter().map(|(group, text)| (*text, *group)).collect());
        let sql = self.query.sql();
        let group = GROUPS.get(sql.as_str()).copied().unwrap_or(OTHER);
        self.group.get_or_init(|| group);
        sql
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.query.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, sqlx::error::BoxDynError> {
        self.query.take_arguments()
    }

    fn persistent(&self) -> bool {
        self.query.persistent()
    }
}
