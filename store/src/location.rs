//! Where a store is: a directory, or a bucket of one of the clouds. A location never holds credentials.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

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
        "{scheme}:// is no store; give a directory, file:///srv/results, s3://bucket/prefix, gs://bucket/prefix or \
         az://container/prefix"
    )]
    Scheme { scheme: String },
    #[error("a store's location holds no credentials; they come from the environment ({variables})")]
    Credentials { variables: &'static str },
    #[error("{bucket:?} is no bucket's name; a store looks like {scheme}://bucket/prefix")]
    Bucket { bucket: String, scheme: &'static str },
    #[error("{prefix:?} can't be the prefix of stored files: {why}")]
    Prefix { prefix: String, why: String },
    #[error("{given:?} is no directory: {why}")]
    Directory { given: String, why: String },
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
        let Some((scheme, rest)) = text.split_once("://") else { return directory(text) };
        if scheme == "file" {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            if !path.starts_with('/') {
                let why = "a file:// URL holds an absolute path, as in file:///srv/results".to_owned();
                return Err(Unreadable::Directory { given: text.to_owned(), why });
            }
            return directory(path);
        }
        let cloud = Cloud::ALL.into_iter().find(|cloud| cloud.scheme() == scheme);
        let cloud = cloud.ok_or_else(|| Unreadable::Scheme { scheme: scheme.to_owned() })?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.contains('@') {
            return Err(Unreadable::Credentials { variables: cloud.credentials() });
        }
        let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '_');
        if bucket.is_empty() || !bucket.chars().all(fits) {
            return Err(Unreadable::Bucket { bucket: bucket.to_owned(), scheme: cloud.scheme() });
        }
        let prefix = prefix.trim_matches('/');
        object_store::path::Path::parse(prefix)
            .map_err(|error| Unreadable::Prefix { prefix: prefix.to_owned(), why: error.to_string() })?;
        Ok(Self::Bucket { cloud, bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

fn directory(text: &str) -> Result<Location, Unreadable> {
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
        let same = [("file:///srv/x", "/srv/x"), ("s3://b/", "s3://b"), ("s3://b//p/", "s3://b/p")];
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
            ("s3://a b/x", "no bucket's name"),
            ("s3://bucket/a/../b", "a/../b"),
            ("file://host/x", "file:///srv/results"),
        ];
        for (given, told) in refused {
            let error = given.parse::<Location>().unwrap_err().to_string();
            assert!(error.contains(told), "{given}: {error}");
        }
        let error = "s3://me:hush@bucket/x".parse::<Location>().unwrap_err().to_string();
        assert!(!error.contains("hush") && error.contains("AWS_SECRET_ACCESS_KEY"), "{error}");
    }
}
