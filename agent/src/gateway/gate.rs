//! The gate at which a container's program waits: a pipe with a name. A shell in the container opens it to read, which takes
//! until somebody has opened it to write, and then becomes the program. So nothing needs to be there but `/bin/sh`, and
//! nothing is missed if the agent dies meanwhile.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use bt_engine::volumes::MountSource;
use bt_engine::{Bind, ContainerSpec, ImageFacts};
use bt_model::reason::Reason;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::Errno;

use crate::job::container::words_of;
use crate::site::Site;
use crate::site::workdir::AttemptDir;

/// Where the container finds it.
pub(super) const TARGET: &str = "/btctl/gate";

/// Lets a container that runs one command, and that is to reach something, wait before it runs it.
pub(crate) fn shut(
    site: &Site,
    dir: &AttemptDir,
    facts: &ImageFacts,
    spec: &mut ContainerSpec,
) -> Result<(), Reason> {
    if spec.reach.is_empty() || !site.engine.mounts_files() {
        return Ok(());
    }
    let gate = dir.gate();
    make(&gate).map_err(|error| Reason::Agent(format!("{} can't be made: {error}", gate.display())))?;
    let words = words_of(spec, &facts.entrypoint, &facts.command)?;
    spec.binds.push(Bind { source: MountSource::Path(gate), target: TARGET.to_owned(), read_only: true });
    let script = format!(": < {TARGET} && exec \"$@\"");
    spec.entrypoint = Some(vec!["/bin/sh".to_owned()]);
    spec.command = ["-c", &script, "sh"].map(str::to_owned).into_iter().chain(words).collect();
    Ok(())
}

/// One that an earlier run of the agent made is fine.
fn make(gate: &Path) -> io::Result<()> {
    match mknodat(CWD, gate, FileType::Fifo, Mode::from_raw_mode(0o644), 0) {
        Err(Errno::EXIST) if fs::symlink_metadata(gate)?.file_type().is_fifo() => {}
        made => made?,
    }
    // Whoever the job runs as opens it.
    fs::set_permissions(gate, Permissions::from_mode(0o644))
}

/// Opens the gate, for as long as the file is held. To read as well: then it does not matter who comes first.
pub(super) fn open(gate: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(gate)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_program_waits_until_the_gate_is_open_and_it_does_not_matter_who_is_first() {
        let dir = tempfile::tempdir().unwrap();
        let gate = dir.path().join("gate");
        make(&gate).unwrap();
        make(&gate).unwrap();
        let waits = || {
            let mut shell = Command::new("/bin/sh");
            let script = format!(": < {} && exec \"$@\"", gate.display());
            shell.args(["-c", &script, "sh", "echo", "gone on"]).stdout(Stdio::piped());
            shell.spawn().unwrap()
        };
        let mut first = waits();
        std::thread::park_timeout(Duration::from_millis(200));
        assert!(first.try_wait().unwrap().is_none(), "it waits");
        let open = open(&gate).unwrap();
        assert_eq!(first.wait_with_output().unwrap().stdout, b"gone on\n");
        assert_eq!(waits().wait_with_output().unwrap().stdout, b"gone on\n", "it is open");
        drop(open);
        let mut late = waits();
        std::thread::park_timeout(Duration::from_millis(200));
        assert!(late.try_wait().unwrap().is_none(), "who opened it has died, so it waits again");
        let _open = self::open(&gate).unwrap();
        assert!(late.wait().unwrap().success());
    }

    #[test]
    fn what_is_not_a_gate_is_not_taken_for_one() {
        let dir = tempfile::tempdir().unwrap();
        let gate = dir.path().join("gate");
        fs::write(&gate, "x").unwrap();
        assert!(make(&gate).is_err());
    }
}
