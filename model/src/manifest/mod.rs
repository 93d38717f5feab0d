//! The manifest of a sweep: what runs, over which parameters, with which resources.
//!
//! Text is parsed into a [`Draft`], flags are merged into it, and [`Draft::finish`] makes the [`Manifest`], which has
//! been checked: code that holds one does not check it again. Between client and coordinator it travels as the JSON of
//! [`Manifest::to_json`].

mod admit;
mod after;
mod algorithm;
mod axis_flag;
mod batch;
mod canonical;
pub(crate) mod check;
mod choice;
mod definition;
mod dev_mount;
mod document;
mod draft;
pub(crate) mod effects;
mod error;
mod format;
mod goals;
mod growing;
mod holdout;
mod judged;
mod keys;
#[cfg(test)]
mod lines;
mod look_alike;
mod matrix;
mod merge;
mod mounts;
mod network;
mod notify;
mod pins;
mod plain;
mod platform;
mod policy;
mod process;
mod range;
mod read;
mod recipe;
mod reported;
mod rows;
mod sandbox;
mod schema;
mod secrets;
mod select;
mod size;
mod unread;
mod values;
mod volume;
mod volume_axis;
mod warm;
mod windows;
mod zone;

pub use after::{After, On};
pub use axis_flag::parse_axis_flag;
pub use batch::STATUS_FILE;
pub use check::{MAX_ARGUMENTS, MAX_ENV, MAX_LABELS, MAX_RETRIES, MAX_VOLUMES, MAX_WORD, MAX_WORDS};
pub use choice::{Containers, Driver, Goal, JobUser, OnDisconnect, Pull, SampleMethod};
pub use definition::{
    DEFAULT_CPU_MILLIS, DEFAULT_METRICS, DEFAULT_PROGRESS, DEFAULT_RESULTS, JobSource, MAX_JOBS, Manifest,
    Needs, Sample, Select,
};
pub use dev_mount::{DevMount, parse_dev_mount_flag};
pub use draft::Draft;
pub use error::{Error, Places, TextPlace, suggestion};
pub use format::Format;
pub use goals::parse_goal_flag;
pub use holdout::{Holdout, MAX_LOOKS};
pub use judged::{Judged, ReturnsFile};
pub use keys::ALL_GPUS;
pub use matrix::{Axis, MAX_AXES, MAX_ENTRIES, MAX_VALUES, Matrix};
pub use mounts::{INPUT_DIR, SHARED_CACHE, ZONES_DIR};
pub use network::{Host, HostPort, Network};
pub use notify::{Channel, Receiver, literal_host, mask_address, parse_receivers};
pub(crate) use plain::plain_value;
pub use platform::Platform;
pub use policy::{
    Keep, MAX_LIMIT, MAX_PARALLEL, Policy, Retries, check_limit, parse_limit_flag, parse_reason,
};
pub use process::PROCESS_IMAGE;
pub use range::Range;
pub use rows::{csv_rows, parse_row_flag};
pub use sandbox::{DEFAULT_LOG_LIMIT, DEFAULT_PIDS, MAX_BATCH, Sandbox, Tmpfs, parse_ulimit_flag};
pub use schema::schema;
pub use secrets::{SECRETS_DIR, SecretArrival, SecretUse, check_secret_name};
pub use size::{LEAST_MEMORY, parse_cpus, parse_size, parse_timeout};
pub use volume::VolumeMount;
pub use volume_axis::{FileValue, VolumeFiles};
pub use warm::Warm;
pub(crate) use zone::check_zone;
