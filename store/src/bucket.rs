//! Buckets of the clouds, opened with what the environment says of them.
//!
//! A request that fails is tried again a few times within seconds and no longer: who asks has a loop of his own, and
//! tells people what it waits for.

use std::sync::{Arc, Once};
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};
// Named for its features: without them object_store's client has no TLS.
use reqwest as _;

use crate::location::Cloud;

/// Requests that are made for one, at most, and the time from the first of them within which another is begun.
const TRIES: usize = 3;
const TRYING: Duration = Duration::from_secs(20);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// How long one request may take, with its answer: a part of a file over a line that carries a tenth of a megabyte a
/// second.
const REQUEST: &str = "90s";

/// A bucket's two faces.
pub(crate) struct Bucket {
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) parts: Arc<dyn MultipartStore>,
}

pub(crate) fn open(cloud: Cloud, bucket: &str, prefix: &str) -> object_store::Result<Bucket> {
    install_tls();
    match cloud {
        Cloud::S3 => {
            let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retries());
            if is_unset("AWS_TIMEOUT") {
                builder = builder.with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), REQUEST);
            }
            below(prefix, builder.build()?)
        }
        Cloud::Gcs => {
            let mut builder =
                GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket).with_retry(retries());
            if is_unset("GOOGLE_TIMEOUT") {
                builder = builder.with_config(GoogleConfigKey::Client(ClientConfigKey::Timeout), REQUEST);
            }
            below(prefix, builder.build()?)
        }
        Cloud::Azure => {
            let mut builder =
                MicrosoftAzureBuilder::from_env().with_container_name(bucket).with_retry(retries());
            if is_unset("AZURE_TIMEOUT") {
                builder = builder.with_config(AzureConfigKey::Client(ClientConfigKey::Timeout), REQUEST);
            }
            below(prefix, builder.build()?)
        }
    }
}

fn below<T: ObjectStore + MultipartStore + Clone>(prefix: &str, bucket: T) -> object_store::Result<Bucket> {
    // As it was given: made from a text without being parsed, a path gets percent signs in it.
    let store = Arc::new(PrefixStore::new(bucket, Path::parse(prefix)?));
    Ok(Bucket { objects: store.clone(), parts: store })
}

/// The prefix under which earlier versions of btctl wrote, where that is not the one that was given.
pub(crate) fn earlier_prefix(prefix: &str) -> Option<String> {
    let earlier = Path::from(prefix).to_string();
    (earlier != prefix).then_some(earlier)
}

fn retries() -> RetryConfig {
    let backoff = BackoffConfig { init_backoff: FIRST_WAIT, max_backoff: LONGEST_WAIT, base: 3.0 };
    RetryConfig { backoff, max_retries: TRIES, retry_timeout: TRYING }
}

fn is_unset(variable: &str) -> bool {
    std::env::var_os(variable).is_none()
}

/// Chooses the process's TLS, without which no HTTP client can be made. Whoever was first has chosen the same.
pub fn install_tls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}
