//! What of a job's image decides what the agent adds to its container: the variables that the image sets, its users, and
//! its time zones.

use std::collections::BTreeMap;
use std::path::Path;

use bt_engine::Bind;
use bt_engine::login::Login;
use bt_engine::volumes::MountSource;

use crate::site::workdir::AttemptDir;

/// What one job's container gets because of its image.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inside {
    /// The variables that the image sets.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) login: Login,
    /// The image lacks the job's time zone.
    pub(crate) lacks_zone: bool,
    /// Mounts that are the same for all jobs of the sweep.
    pub(crate) binds: Vec<Bind>,
}

impl Inside {
    /// Writes the files that are one container's own, and says where they are mounted.
    pub(crate) fn write(&self, dir: &AttemptDir) -> anyhow::Result<Vec<Bind>> {
        let mut binds = self.binds.clone();
        for (name, text, target) in
            [("passwd", &self.login.passwd, "/etc/passwd"), ("group", &self.login.group, "/etc/group")]
        {
            if let Some(text) = text {
                binds.push(shown(&dir.write_shown(name, text)?, target));
            }
        }
        Ok(binds)
    }
}

/// A file or directory that a container sees and can't change.
pub(crate) fn shown(path: &Path, target: &str) -> Bind {
    Bind { source: MountSource::Path(path.to_owned()), target: target.to_owned(), read_only: true }
}
