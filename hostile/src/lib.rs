//! What must hold of input that a stranger has made: one function for each kind of it takes any bytes, gives them to the
//! function that reads them in btctl, and panics if something does not hold. The fuzzer (`make fuzz`) calls them for
//! minutes; the tests of this crate call them with what is in `fuzz/corpus`, and with that changed at random.
//!
//! What holds of each: nothing panics or overflows; what was read is written and read again the same; what is refused is
//! refused in one short line without control characters, which could change a terminal or forge a line of a log.

mod expressions;
mod identity;
mod manifests;
mod names;
mod refusal;
mod reported;
mod tables;
mod wire;

/// A kind of input, and what must hold of it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Of its program in `fuzz/fuzz_targets` and of its directory in `fuzz/corpus`.
    pub name: &'static str,
    pub check: fn(&[u8]),
}

const fn target(name: &'static str, check: fn(&[u8])) -> Target {
    Target { name, check }
}

/// All kinds of input.
pub const TARGETS: &[Target] = &[
    target("manifest_yaml", manifests::yaml),
    target("manifest_toml", manifests::toml),
    target("manifest_json", manifests::json),
    target("expression", expressions::expression),
    target("template", expressions::template),
    target("parameters", tables::parameters),
    target("csv", tables::csv),
    target("preview", tables::preview),
    target("metrics", reported::metrics),
    target("metrics_import", reported::import),
    target("progress", reported::progress),
    target("log", reported::log),
    target("pickle", reported::pickle),
    target("agent_messages", wire::agent),
    target("client_messages", wire::client),
    target("result_names", names::results),
    target("store_location", names::location),
    target("flags", names::flags),
    target("certificate_request", identity::certificate_request),
    target("pin", identity::pin),
];

/// Checks input of this kind.
///
/// # Panics
///
/// If something does not hold, or there is no kind of that name.
pub fn check(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("it has a line in TARGETS").check)(input);
}
