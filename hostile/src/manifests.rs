//! Manifests, in each of their forms.

use bt_model::manifest::{Format, JobSource, MAX_JOBS, Manifest};

use crate::refusal;

/// How far the search for the jobs is followed: a matrix may have 10,000,000.
const ROUNDS: u32 = 4;
const STEPS: u32 = 500;
/// Jobs whose command is looked at.
const LOOKED_AT: u32 = 5;

pub(crate) fn yaml(input: &[u8]) {
    manifest(input, Format::Yaml);
}

pub(crate) fn toml(input: &[u8]) {
    manifest(input, Format::Toml);
}

pub(crate) fn json(input: &[u8]) {
    manifest(input, Format::Json);
}

fn manifest(input: &[u8], format: Format) {
    let Some(draft) = refusal::read(Manifest::parse(input, format, "sweep")) else { return };
    // What lies in volumes is not known here.
    if !draft.unread_axes().is_empty() {
        return;
    }
    let Some(manifest) = refusal::read(draft.finish()) else { return };
    is_written_and_read_again(&manifest);
    for remark in manifest.remarks() {
        refusal::check(&remark);
    }
    refusal::read(manifest.admit());
    refusal::read(manifest.admit_holdout());
    expand(&manifest);
}

fn is_written_and_read_again(manifest: &Manifest) {
    let written = manifest.to_json();
    let mut again = match Manifest::from_json(&written) {
        Ok(again) => again,
        Err(error) => panic!("{written} was written, and is refused: {error}"),
    };
    // They travel apart.
    if let JobSource::Rows(rows) = &manifest.jobs {
        again = again.with_rows(rows.clone());
    }
    assert_eq!(&again, manifest, "{written}");
    assert_eq!(again.to_json(), written);
    assert_eq!(again.recipe(), manifest.recipe());
}

/// Looks at the first jobs. False if there are none, or too many to be found here.
pub(crate) fn expand(manifest: &Manifest) -> bool {
    let Some(mut search) = refusal::read(manifest.begin_expansion()) else { return false };
    for _ in 0..ROUNDS {
        match search.advance(STEPS) {
            Ok(false) => {}
            Ok(true) => {
                let jobs = search.finish();
                assert!(jobs.len() <= MAX_JOBS, "{} jobs", jobs.len());
                let renderer = manifest.renderer().expect("the search has compiled it");
                for job in 0..jobs.len().min(LOOKED_AT) {
                    // The tests of a walk-forward get theirs later.
                    if jobs.test(job).is_some() {
                        continue;
                    }
                    let parameters = jobs.get(job).expect("it is one of the jobs");
                    let rendered = renderer.render(&parameters).expect("the search has rendered it");
                    let mut words = rendered.command.iter().chain(rendered.env.values());
                    assert!(words.all(|word| !word.contains('\0')), "{rendered:?}");
                }
                return true;
            }
            Err(refused) => {
                refusal::check(&refused);
                return false;
            }
        }
    }
    false
}
