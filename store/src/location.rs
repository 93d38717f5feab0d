//! Where a store is: a directory, or a bucket of one of the clouds. A location never holds credentials.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use bt_model::text::remark;

/// A store's place, as people write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// Absolute.
    Directory(PathBuf),
    Bucket {
        cloud: Cloud,
        bucket: String,
        /// Without slashes at its ends; empty for the whole bucket.
        prefix: String,
    },
}

/// Who keeps a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// Amazon's S3 and all that speak it.
    S3,
    /// Google's Cloud Storage.
    Gcs,
    /// Azure's Blob Storage.
    Azure,
}

#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error(
        "{}:// is not a store; give a directory, file:///srv/results, s3://bucket/prefix, gs://bucket/prefix or \
         az://container/prefix",
        remark(.scheme)
    )]
    Scheme { scheme: String },
    #[error("a store's location holds no credentials; they come from the environment ({variables})")]
    Credentials { variables: &'static str },
    #[error("{}", remark(&format!("{:?} is not a bucket's name; a store looks like {}://bucket/prefix", .bucket, .scheme)))]
    Bucket { bucket: String, scheme: &'static str },
    #[error("{}", remark(&format!("{:?} can't be the prefix of stored files: {}", .prefix, .why)))]
    Prefix { prefix: String, why: String },
    #[error("{}", remark(&format!("{:?} is not a directory: {}", .given, .why)))]
    Directory { given: String, why: String },
    #[error("{}", remark(&format!("{:?} begins like a URL, and is none of a store: {}", .given, .remedy)))]
    LikeUrl { given: String, remedy: String },
}

impl Cloud {
    const ALL: [Self; 3] = [Self::S3, Self::Gcs, Self::Azure];

    pub fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        }
    }

    /// The variables that say who is asking.
    pub(crate) fn credentials(self) -> &'static str {
        match self {
            Self::S3 => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            Self::Gcs => "GOOGLE_SERVICE_ACCOUNT",
            Self::Azure => "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
        }
    }
}

impl FromStr for Location {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let Some((scheme, rest)) = scheme_of(text) else { return directory(text) };
        let scheme = scheme.to_ascii_lowercase();
        if scheme == "file" {
            return file_url(text, rest);
        }
        let cloud = Cloud::ALL.into_iter().find(|cloud| cloud.scheme() == scheme);
        let Some(rest) = rest.strip_prefix("//") else {
            let right = rest.trim_start_matches('/');
            let remedy = match cloud {
                Some(cloud) => format!("write {}://{right}", cloud.scheme()),
                None => format!("a directory of that name is ./{text}"),
            };
            return Err(Unreadable::LikeUrl { given: text.to_owned(), remedy });
        };
        let cloud = cloud.ok_or_else(|| Unreadable::Scheme { scheme: scheme.clone() })?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.contains('@') {
            return Err(Unreadable::Credentials { variables: cloud.credentials() });
        }
        let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '_');
        if bucket.is_empty() || !bucket.chars().all(fits) {
            return Err(Unreadable::Bucket { bucket: bucket.to_owned(), scheme: cloud.scheme() });
        }
        if prefix.contains(['?']) {
            let why =
                "a store's location has no `?` and no options; they come from the environment".to_owned();
            return Err(Unreadable::Prefix { prefix: prefix.to_owned(), why });
        }
        let prefix = prefix.trim_matches('/');
        object_store::path::Path::parse(prefix)
            .map_err(|error| Unreadable::Prefix { prefix: prefix.to_owned(), why: error.to_string() })?;
        Ok(Self::Bucket { cloud, bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

/// What stands before the first colon, and what follows, if that looks like a URL's scheme.
fn scheme_of(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let first = scheme.chars().next()?;
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.');
    (first.is_ascii_alphabetic() && scheme.chars().all(fits)).then_some((scheme, rest))
}

/// `file:/srv/x`, `file:///srv/x` and `file://localhost/srv/x`.
fn file_url(text: &str, rest: &str) -> Result<Location, Unreadable> {
    let path = match rest.strip_prefix("//") {
        Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
        None => rest,
    };
    let refused = |why: &str| Err(Unreadable::Directory { given: text.to_owned(), why: why.to_owned() });
    if !path.starts_with('/') {
        return refused("a file:// URL holds an absolute path, as in file:///srv/results");
    }
    if path.contains(['%', '?', '#']) {
        return refused(
            "a file:// URL with `%`, `?` or `#` can mean two things; write the path itself, as /srv/results",
        );
    }
    directory(path)
}

fn directory(text: &str) -> Result<Location, Unreadable> {
    let refused = |why: &str| Err(Unreadable::Directory { given: text.to_owned(), why: why.to_owned() });
    if text.trim() != text || text.is_empty() {
        return refused("it is empty, or begins or ends with a space");
    }
    if text == "~" || text.starts_with("~/") {
        return refused(
            "`~` is put in by shells alone, and not here; write the whole path, or ./~ if it is meant",
        );
    }
    let absolute = std::path::absolute(text);
    let failed =
        |error: std::io::Error| Unreadable::Directory { given: text.to_owned(), why: error.to_string() };
    absolute.map(Location::Directory).map_err(failed)
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Bucket { cloud, bucket, prefix } => {
                write!(f, "{}://{bucket}", cloud.scheme())?;
                if prefix.is_empty() { Ok(()) } else { write!(f, "/{prefix}") }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_read_and_written_alike() {
        for text in ["/srv/results", "s3://bucket", "s3://bucket/a/b", "gs://b.c/x", "az://container/p"] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), text);
        }
        let same = [
            ("file:///srv/x", "/srv/x"),
            ("file:/srv/x", "/srv/x"),
            ("FILE://localhost/srv/x", "/srv/x"),
            ("s3://b/", "s3://b"),
            ("s3://b//p/", "s3://b/p"),
            ("S3://b/P", "s3://b/P"),
            ("./s3:/x", &std::path::absolute("s3:/x").unwrap().display().to_string()),
            ("s3://held/pre fix+%#/ü α", "s3://held/pre fix+%#/ü α"),
        ];
        for (given, read) in same {
            assert_eq!(given.parse::<Location>().unwrap().to_string(), read);
        }
        assert!(
            matches!("results".parse::<Location>().unwrap(), Location::Directory(path) if path.is_absolute())
        );
    }

    #[test]
    fn what_is_no_location_is_told() {
        let refused = [
            ("http://host/x", "s3://bucket/prefix"),
            ("s3://", "s3://bucket/prefix"),
            ("s3://a b/x", "not a bucket's name"),
            ("s3://bucket/a/../b", "a/../b"),
            ("file://host/x", "file:///srv/results"),
            ("file://", "file:///srv/results"),
            ("file:results", "file:///srv/results"),
            ("file:///srv/a%20b", "the path itself"),
            ("s3:/x", "write s3://x"),
            ("s3:x/y", "write s3://x/y"),
            ("gcs://bucket", "gs://bucket/prefix"),
            ("azure://container", "az://container/prefix"),
            ("s3a://bucket", "s3://bucket/prefix"),
            (" s3://bucket", "a space"),
            ("results:new", "./results:new"),
            ("C:\\results", "./C:"),
            ("s3://bucket/x?endpoint=y", "no options"),
            ("~/results", "the whole path"),
            ("", "empty"),
            ("/srv/x ", "a space"),
        ];
        for (given, told) in refused {
            let error = given.parse::<Location>().unwrap_err().to_string();
            assert!(error.contains(told), "{given}: {error}");
        }
        let error = "s3://me:hush@bucket/x".parse::<Location>().unwrap_err().to_string();
        assert!(!error.contains("hush") && error.contains("AWS_SECRET_ACCESS_KEY"), "{error}");
    }
}
