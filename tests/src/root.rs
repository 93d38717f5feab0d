//! Commands that only root may run: as root, or by `sudo` without a password.

use std::path::Path;
use std::process::Command;

/// What goes before a command for root to run it.
pub(crate) fn sudo() -> &'static [&'static str] {
    match rustix::process::geteuid().is_root() {
        true => &[],
        false => &["sudo", "-n"],
    }
}

/// What goes before a command for another user of this machine, who may do nothing, to run it.
pub fn as_nobody() -> Vec<&'static str> {
    [sudo(), &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]].concat()
}

/// What it printed.
///
/// # Panics
/// If it fails; the message says the remedy.
#[track_caller]
pub(crate) fn as_root(command: &[&str], remedy: &str) -> String {
    run_as_root(command).unwrap_or_else(|error| panic!("{}: {error}; {remedy}", command.join(" ")))
}

/// What it printed, or why it failed.
pub(crate) fn run_as_root(command: &[&str]) -> Result<String, String> {
    let words = [sudo(), command].concat();
    let path = std::env::var("PATH").unwrap_or_default();
    // Where users have no path to what root runs.
    let path = format!("{path}:/usr/sbin:/sbin");
    let program = std::env::split_paths(&path).map(|dir| dir.join(words[0])).find(|file| file.is_file());
    let program = program.unwrap_or_else(|| Path::new(words[0]).to_owned());
    let output = Command::new(program).args(&words[1..]).env("PATH", path).output();
    let output = output.map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}
