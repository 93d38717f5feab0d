//! The words of btctl as types: manifests, parameters, templates, resources, and the lives of jobs and attempts.
//!
//! Pure: nothing here reads a file, a clock or the network, and none of our other crates is imported.

pub mod address;
pub mod alias;
mod braces;
mod condition;
pub mod demand;
pub mod encoding;
pub mod estimate;
pub mod excerpt;
pub mod expansion;
mod expression;
pub mod hex;
pub mod id;
pub mod image;
pub mod image_policy;
mod json_object;
pub mod landscape;
pub mod layout;
pub mod log;
pub mod manifest;
pub mod metrics;
pub mod nearest;
pub mod parameters;
pub mod percent;
pub mod placement;
pub mod progress;
pub mod reason;
pub mod resources;
pub mod retry;
pub mod returns;
pub mod rfc4180;
pub mod role;
mod scalar;
pub mod schedule;
pub mod secret;
pub mod secret_value;
pub mod selection;
pub mod software;
pub mod span;
pub mod state;
pub mod stop_when;
pub mod tag;
pub mod template;
pub mod text;
pub mod windows;
