//! What the machine has in stock for jobs: images, what is in them, what volumes hold, and copies of these that are cut.

pub(crate) mod cuts;
pub(crate) mod files;
pub(crate) mod fingerprints;
pub(crate) mod images;
pub(crate) mod looks;
pub(crate) mod overlays;
mod pulled;
pub(crate) mod resolve;
pub(crate) mod software;

use std::sync::Arc;

use cuts::Cuts;
use fingerprints::Fingerprints;
use images::Images;
use looks::Looks;
use overlays::Overlays;
use software::SeenImages;

use crate::line::Line;

/// What is kept for jobs to come.
pub(crate) struct Stock {
    pub(crate) images: Images,
    pub(crate) looks: Looks,
    pub(crate) software: SeenImages,
    pub(crate) fingerprints: Fingerprints,
    pub(crate) cuts: Cuts,
    pub(crate) overlays: Overlays,
}

impl Stock {
    pub(crate) fn new(line: &Arc<Line>) -> Self {
        let site = &line.site;
        Self {
            images: Images::new(line.clone()),
            looks: Looks::default(),
            software: SeenImages::default(),
            fingerprints: Fingerprints::new(&site.offer.volumes, &site.state.fingerprints()),
            cuts: Cuts::new(&site.state),
            overlays: Overlays::new(line),
        }
    }
}
