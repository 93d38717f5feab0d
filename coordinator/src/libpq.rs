//! A database URL for Postgres's own programs: they know other parameters than we, and a password on a command line can be
//! read by everybody on the machine.

use url::Url;
use zeroize::Zeroizing;

/// How a program of Postgres reaches a database.
#[derive(Clone, Debug)]
pub struct LibpqTarget {
    /// Without the password; for `--dbname`.
    pub url: String,
    /// For `PGPASSWORD`.
    pub password: Option<Zeroizing<String>>,
}

/// Parameters that our library knows under other names.
const RENAMED: [(&str, &str); 6] = [
    ("ssl-mode", "sslmode"),
    ("ssl-root-cert", "sslrootcert"),
    ("ssl-ca", "sslrootcert"),
    ("ssl-cert", "sslcert"),
    ("ssl-key", "sslkey"),
    ("statement-cache-capacity", ""),
];

impl LibpqTarget {
    /// Reads a database URL that a connection was opened with.
    pub fn of(database_url: &str) -> Result<Self, String> {
        let mut url: Url = database_url.parse().map_err(|error| format!("the database URL: {error}"))?;
        let in_front = url.password().map(decoded);
        url.set_password(None).map_err(|()| "the database URL has no place for a password".to_owned())?;
        let mut password = in_front;
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        let mut kept = Vec::new();
        for (name, value) in pairs {
            if name == "password" {
                password = Some(Zeroizing::new(value));
                continue;
            }
            let renamed = RENAMED.iter().find(|(ours, _)| *ours == name).map(|(_, theirs)| *theirs);
            match renamed {
                Some("") => {}
                Some(theirs) => kept.push((theirs.to_owned(), value)),
                None => kept.push((name, value)),
            }
        }
        // As percent signs: what forms write as a plus, libpq takes for a plus.
        let query = kept
            .iter()
            .map(|(name, value)| format!("{name}={}", bt_model::percent::encoded(value.as_bytes(), b"/")));
        let query = query.collect::<Vec<_>>().join("&");
        url.set_query((!query.is_empty()).then_some(query.as_str()));
        Ok(Self { url: url.to_string(), password })
    }
}

/// What percent signs stand for; a plus is a plus here.
fn decoded(text: &str) -> Zeroizing<String> {
    let form = Zeroizing::new(format!("p={}", text.replace('+', "%2B")));
    let parsed = url::form_urlencoded::parse(form.as_bytes()).next();
    Zeroizing::new(parsed.map(|(_, value)| value.into_owned()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_on_no_command_line() {
        let target = LibpqTarget::of("postgres://ann:p%40ss@db:6543/btctl?ssl-mode=require").unwrap();
        assert_eq!(target.url, "postgres://ann@db:6543/btctl?sslmode=require");
        assert_eq!(target.password.unwrap().as_str(), "p@ss");
        let target = LibpqTarget::of("postgres://btctl@localhost/btctl?host=/a%20b/c&password=x+y").unwrap();
        assert_eq!(target.url, "postgres://btctl@localhost/btctl?host=/a%20b/c");
        assert_eq!(target.password.unwrap().as_str(), "x y");
        let target = LibpqTarget::of("postgresql://db?statement-cache-capacity=1").unwrap();
        assert!(target.password.is_none() && !target.url.contains('?'), "{}", target.url);
    }
}
