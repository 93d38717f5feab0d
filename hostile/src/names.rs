//! Names of results and stores, and the short texts of flags.

use std::fmt::Display;
use std::str::FromStr;

use bt_model::address::{self, Scheme};
use bt_model::encoding::Encoding;
use bt_model::id::SweepId;
use bt_model::layout::{self, AttemptPlace, Role};
use bt_model::manifest::{self, JobUser, Keep, Platform, Receiver, Tmpfs, VolumeMount};
use bt_model::{image, percent, tag};
use bt_store::Location;
use uuid::Uuid;

use crate::refusal::{self, read};

/// Names of jobs' outputs, and of files that lie in a store.
pub(crate) fn results(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let place = AttemptPlace {
        sweep_name: "sma-cross".to_owned(),
        sweep: SweepId::from_uuid(Uuid::from_u128(7)),
        jobs: 120,
        job: 7,
        attempt: 2,
    };
    assert_eq!(place.name_of(&place.output(text)).as_deref(), Some(text));
    let dir = layout::sweep_dir(&place.sweep_name, place.sweep);
    let output = place.output(text);
    let below = output.strip_prefix(&format!("{dir}/")).expect("it is in the sweep's directory");
    assert_eq!(Role::of(below, place.jobs), Role::Output { job: 7, attempt: 2, path: text });
    // Whatever lies there belongs to no job, or to the one that its name says.
    let job = Role::of(text, place.jobs).job();
    assert!(
        job.is_none_or(|job| text.starts_with(&layout::job_dir(job, place.jobs))),
        "{text:?} is of {job:?}"
    );
    let other = layout::other_name(text, "0123abcd");
    assert_eq!(layout::is_other_name(&other, text), !text.is_empty(), "{other:?}");
    for encoding in Encoding::ALL {
        if let Some(encoding) = read(encoding.of(text)) {
            assert_eq!(encoding.path_of(&encoding.stored_as(text)), Some(text));
        }
    }
    let encoded = percent::encoded(input, b"/");
    assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic()), "{encoded:?}");
}

pub(crate) fn location(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Some(location) = read(text.parse::<Location>()) {
        let written = location.to_string();
        assert_eq!(written.parse::<Location>().ok(), Some(location), "{text:?} is written as {written:?}");
    }
    for scheme in [Scheme::Http, Scheme::Https] {
        for address in read(address::coordinators(text, scheme)).unwrap_or_default() {
            refusal::harmless(&address);
            assert_eq!(address::coordinators(&address, scheme), Ok(vec![address.clone()]), "{text:?}");
        }
    }
}

/// The texts of flags and of single values, each read in every way.
pub(crate) fn flags(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Some(volume) = comes_back::<VolumeMount>(text) {
        assert!(volume.target.starts_with('/'), "{volume:?}");
        assert!(!volume.target.split('/').any(|part| part == ".."), "{volume:?}");
    }
    comes_back::<Tmpfs>(text);
    comes_back::<Platform>(text);
    comes_back::<JobUser>(text);
    comes_back::<Keep>(text);
    if let Some(receiver) = read(text.parse::<Receiver>()) {
        assert_eq!(receiver.written().parse::<Receiver>().ok().as_ref(), Some(&receiver));
        refusal::harmless(&receiver.to_string());
    }
    read(manifest::parse_receivers(text));
    read(manifest::parse_size(text));
    read(manifest::parse_cpus(text));
    read(manifest::parse_timeout(text));
    read(manifest::parse_ulimit_flag(text));
    read(manifest::parse_limit_flag(text));
    read(manifest::parse_goal_flag(text));
    read(manifest::parse_reason(text));
    read(tag::check_tag(text));
    read(tag::check_note(text));
    if read(image::check(text)).is_some() {
        refusal::harmless(text);
        assert!(
            image::is_id(text) || image::check(&image::tagged(text)).is_ok() || text.contains('@'),
            "{text:?}"
        );
        image::short_name(text);
    }
    read(text.parse::<bt_model::role::Role>());
}

/// What is read is written and read again the same.
#[track_caller]
fn comes_back<T: FromStr<Err: Display> + Display + PartialEq + std::fmt::Debug>(text: &str) -> Option<T> {
    let value = read(text.parse::<T>())?;
    let written = value.to_string();
    assert_eq!(written.parse::<T>().ok().as_ref(), Some(&value), "{text:?} is written as {written:?}");
    Some(value)
}
